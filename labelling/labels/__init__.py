"""What was said of images: labels, their events, and which of them count."""
