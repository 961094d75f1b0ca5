"""Labels and splits from the folders of a source."""
