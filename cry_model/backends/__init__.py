"""Compute answers with torch, or with onnxruntime from exported files."""
