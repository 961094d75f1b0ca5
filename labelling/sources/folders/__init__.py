"""What the folders of a source say about its images."""
