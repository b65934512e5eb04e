"""Fits the systems of :mod:`cry_model` on recordings and measures them: ``python -m train``.

Imports neither Gradio nor plotly nor librosa.
"""
