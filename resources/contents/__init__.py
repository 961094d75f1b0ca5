"""What objects hold: records, numbered records and tables, read the one way, and damage found."""
