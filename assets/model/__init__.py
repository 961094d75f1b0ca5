"""The assets trained_model and embeddings: models, and what they say of raw images."""
