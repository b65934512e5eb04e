"""Score predictions: take tables, return records."""
