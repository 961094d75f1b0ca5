"""The settings: imgclf.toml, its sections, and the variables over it."""
