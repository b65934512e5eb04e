"""Read measured runs and compute the statistics that the panels show.

Metrics and their bootstrap, which training needs too, are in :mod:`cry_model.metrics`.
"""
