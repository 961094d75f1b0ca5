"""Check every object in the store, and repair what can be repaired."""
