"""Asset checks: what blocks, what only warns, and the verdicts that they leave in the store."""
