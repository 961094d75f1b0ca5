"""Containers of a source: folders and archives, and the names of their files."""
