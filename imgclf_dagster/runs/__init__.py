"""Dagster's runs: the jobs, asking for one, and those whose process is gone."""
