"""Messages about lists that hold something else than labels of images."""

SAYS_WHERE = "detection or segmentation: where something is, not what a whole picture shows"
"""Without the remedy, ``--labels-from``: the question about a refused list has it."""
