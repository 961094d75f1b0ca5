"""Taking a data set out, into a folder or an archive."""
