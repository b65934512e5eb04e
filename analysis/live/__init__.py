"""Show what the microphone hears, as it hears it: the Live tab."""
