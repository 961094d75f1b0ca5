"""Near-duplicate groups of images, and their assignment to splits."""
