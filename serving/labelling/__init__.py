"""The labelling backend: pre-labels, corrections, the report."""
