"""The Live tab: what the microphone hears, as it hears it."""
