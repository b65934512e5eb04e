"""Fit models, with kept state, on one device or several."""
