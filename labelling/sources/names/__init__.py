"""The meaning of words in names: splits, dates, series, leftovers."""
