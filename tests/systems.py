"""The systems of the registry, by what they listen to."""

from cry_model import list_models

ON_FEATURES = "feature-mlp"
ON_SPECTROGRAMS = [name for name in list_models() if name != ON_FEATURES]
