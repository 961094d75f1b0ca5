"""Label Studio's tasks, configuration and annotations as data."""
