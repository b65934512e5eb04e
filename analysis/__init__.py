"""Draw what :mod:`cry_model` answers and what was measured: the page, its figures, the report."""
