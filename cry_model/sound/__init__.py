"""Decode audio files and arrays, and compute features of them."""
