"""The command ``imgclf up``."""
