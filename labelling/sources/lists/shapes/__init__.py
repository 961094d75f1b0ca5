"""Annotations of parts of pictures: named as such, or read for their tags of the whole."""
