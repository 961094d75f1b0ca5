"""Where the line stands."""
