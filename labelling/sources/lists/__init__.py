"""Lists of labels: a CSV, an export of a labelling tool, a manifest."""
