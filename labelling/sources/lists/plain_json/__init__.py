"""JSON as people and competitions write it."""
