"""The home folder, created on first use."""
