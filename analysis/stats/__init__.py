"""Read the measured runs and compute what the panels show.

The metrics and their bootstrap, which training needs too, are in :mod:`cry_model.metrics`.
"""
