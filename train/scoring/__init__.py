"""Score predictions: tables in, records out."""
