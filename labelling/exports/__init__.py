"""The formats in which a data set goes out."""
