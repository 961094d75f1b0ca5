"""What the words of a name say: splits, dates, series, leftovers."""
