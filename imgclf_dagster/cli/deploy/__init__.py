"""The command ``imgclf deploy``."""
