"""The learning curve of a data set: measured on subsets, studied and drawn."""
