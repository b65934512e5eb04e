"""Compute predictions with torch, or with onnxruntime from exported files."""
