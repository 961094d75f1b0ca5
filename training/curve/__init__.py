"""The learning curve of a data set: measurement on subsets, analysis and picture."""
