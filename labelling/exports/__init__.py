"""The formats in which a data set is exported."""
