"""Tables as lists: delimited text and Parquet."""
