"""The object store: the port, and its adapters for a folder and a bucket."""
