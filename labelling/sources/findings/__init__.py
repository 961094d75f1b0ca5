"""Questions and notes about a source, before anything is written."""
