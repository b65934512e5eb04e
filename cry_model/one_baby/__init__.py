"""Fit a model of one baby to its own labelled cries."""
