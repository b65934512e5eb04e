"""Parse and run the commands of ``python -m train``."""
