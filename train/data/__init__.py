"""Read, fetch, group, split and augment recordings."""
