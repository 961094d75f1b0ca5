"""Groups and splits of the images: dealt, kept, checked and shown."""
