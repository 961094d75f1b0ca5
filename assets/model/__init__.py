"""The assets trained_model and embeddings: training, features and predictions of raw images."""
