"""What is said of lists that hold something else than labels of images."""

SAYS_WHERE = "detection or segmentation: where something is, not what a whole picture shows"
"""The way out, ``--labels-from``, is said with the question that a refused list becomes."""
