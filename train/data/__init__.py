"""Read, download, group, split and augment recordings."""
