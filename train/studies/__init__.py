"""Run evaluations beyond cross-validation: permutation tests, ablations, the detector."""
