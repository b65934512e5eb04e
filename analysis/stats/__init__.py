"""Read measured runs and compute the statistics that the panels show."""
