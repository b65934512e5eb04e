"""Write model cards and publish checkpoints on the Hugging Face Hub."""
