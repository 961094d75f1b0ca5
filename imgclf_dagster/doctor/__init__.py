"""Whether everything is there that a run will need."""
