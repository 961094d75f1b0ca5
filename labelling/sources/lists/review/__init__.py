"""What is asked of a table before its labels are believed."""
