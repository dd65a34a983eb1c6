"""Embeddings of sound and picture beside the log-mels of a training."""
