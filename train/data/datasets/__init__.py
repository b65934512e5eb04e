"""Read the corpora, one per module; :mod:`train.data.cache` lists them by name."""
