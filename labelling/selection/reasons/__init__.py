"""The reasons to label an image, one class each."""
