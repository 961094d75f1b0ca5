"""Lists in plain JSON, as people and competitions write them."""
