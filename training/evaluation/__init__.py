"""Metrics, report and pictures of an evaluation."""
