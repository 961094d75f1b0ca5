"""Selection of the images to label next."""
