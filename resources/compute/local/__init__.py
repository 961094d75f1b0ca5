"""The compute port on this machine: jobs as local processes."""
