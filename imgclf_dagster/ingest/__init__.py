"""Bringing images and labels into the store."""
