"""Ingest of images and labels into the store."""
