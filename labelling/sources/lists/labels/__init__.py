"""The meaning of a text in a list as a label: one, several, none, or something else."""
