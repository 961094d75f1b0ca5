"""The client of a Label Studio server: the port and its parts."""
