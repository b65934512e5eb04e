"""Read the measured runs and compute what the panels show."""
