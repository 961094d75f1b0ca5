"""Decoding image files to pixels: the decoder, its costs and its limits."""
