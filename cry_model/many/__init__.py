"""Classify many recordings, and write the answers as tables and label files."""
