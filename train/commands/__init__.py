"""The commands of ``python -m train``: a module each, with ``add`` (its options) and ``run``."""
