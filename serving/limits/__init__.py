"""What one request may cost: bytes, pixels, seconds."""
