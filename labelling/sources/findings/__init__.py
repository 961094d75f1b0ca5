"""What is asked and told of a source before anything is written."""
