"""Limits of one request: bytes, pixels, seconds."""
