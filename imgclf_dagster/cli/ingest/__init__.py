"""The command ``imgclf ingest``."""
