"""The home folder: written on first use."""
