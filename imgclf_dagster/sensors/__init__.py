"""Sensors: they watch what changes outside Dagster."""
