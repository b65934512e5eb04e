"""Define the paper's networks, their baselines, and a registry of them."""
