"""Parse the commands of ``python -m train`` and run them."""
