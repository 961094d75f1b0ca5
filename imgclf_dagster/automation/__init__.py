"""When assets materialize by themselves."""
