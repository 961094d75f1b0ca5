"""What a text in a list is as a label: one, several, none, or something else."""
