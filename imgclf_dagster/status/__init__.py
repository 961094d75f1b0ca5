"""The state of the line."""
