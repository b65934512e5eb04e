"""The paper's networks, their baselines, and their names."""
