"""The object store: one port, a folder or a bucket behind it."""
