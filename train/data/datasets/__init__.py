"""Read one corpus each; :mod:`train.data.cache` lists them by name."""
