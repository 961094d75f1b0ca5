"""Annotations of parts of images: refused, or read for their tags of whole images."""
