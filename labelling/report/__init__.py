"""The labelling report: its numbers and its page."""
