"""The line from the command line: run and told."""
