"""Show live what the microphone picks up: the Live tab."""
