"""The settings: ``imgclf.toml``, its sections, and the environment variables that override it."""
