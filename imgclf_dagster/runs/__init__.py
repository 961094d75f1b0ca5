"""Dagster runs: the jobs, run requests of sensors, and runs whose process has ended."""
