"""The asset annotations: annotators' labels, and decisions about labels."""
