"""The asset dataset: assembled, versioned, repaired."""
