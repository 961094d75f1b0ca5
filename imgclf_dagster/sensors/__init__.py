"""Sensors: what happens outside the graph."""
