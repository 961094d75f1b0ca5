"""Whether every object in the store is what its key says, and repairs."""
