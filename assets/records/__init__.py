"""Records that steps hand on to later steps, sensors, checks and commands, a file per asset."""
