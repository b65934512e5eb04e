"""Train and evaluate the systems of :mod:`cry_model` on recordings: ``python -m train``.

This package imports neither Gradio nor plotly nor librosa.
"""
