"""Assets of group ingestion: which images there are."""
