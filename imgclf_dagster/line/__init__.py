"""Running the line from the command line, with its progress on the console."""
