"""What a source is packed in: folders and archives, and the names in them."""
