"""What an evaluation measures, writes and draws."""
