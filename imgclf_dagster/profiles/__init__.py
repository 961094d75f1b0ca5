"""The adapters behind the ports, for each profile."""
