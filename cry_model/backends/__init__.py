"""What computes an answer: torch, or onnxruntime and the files it reads."""
