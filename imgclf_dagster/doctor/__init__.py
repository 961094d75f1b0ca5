"""Checks that what a run needs is available."""
