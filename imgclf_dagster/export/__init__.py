"""Export of a data set into a folder or a zip."""
