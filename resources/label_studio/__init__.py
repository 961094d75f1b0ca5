"""The client of a Label Studio server, with a part for each subject."""
