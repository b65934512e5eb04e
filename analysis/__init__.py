"""Figures, the page's tabs, and the benchmark. Draws what :mod:`cry_model` answers."""
