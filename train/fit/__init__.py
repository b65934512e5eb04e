"""Train models with resumable state, on one device or several."""
