"""Many recordings at a time, and their answers as tables and label files."""
