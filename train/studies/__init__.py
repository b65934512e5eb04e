"""Measure what a fit does not: permutation tests, ablations, the detector."""
