"""A model of one baby, learnt from its own labelled cries."""
