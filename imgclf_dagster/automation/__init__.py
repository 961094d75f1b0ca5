"""Automation conditions: when assets are materialized automatically."""
