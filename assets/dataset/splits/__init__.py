"""Groups and splits of the images: assignment, given splits, checks and overview."""
