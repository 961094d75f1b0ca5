"""The asset annotations: what people said, and what they decided about labels."""
