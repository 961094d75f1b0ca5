"""Fitting a model: architectures, recipes, losses, calibration."""
