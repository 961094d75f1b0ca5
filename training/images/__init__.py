"""From the bytes of a file to pixels: the one decoder, its costs and its limits."""
