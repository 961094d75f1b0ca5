"""Asset checks, and the verdicts that they leave in the store."""
