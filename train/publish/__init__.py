"""Write model cards and send checkpoints to the Hugging Face Hub."""
