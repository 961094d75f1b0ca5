"""The command ``imgclf labels``."""
