"""The adapters behind the ports, by profile."""
