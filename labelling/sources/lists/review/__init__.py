"""Questions about a table before its labels are used."""
