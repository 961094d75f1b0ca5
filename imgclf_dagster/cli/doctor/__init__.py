"""The command ``imgclf doctor``."""
