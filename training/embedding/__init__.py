"""Features and probabilities of raw images."""
