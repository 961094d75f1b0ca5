"""Labels of images: snapshots, events, and which of them count."""
