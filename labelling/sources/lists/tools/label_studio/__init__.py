"""Label Studio's exports: JSON, JSON-MIN, CSV and TSV."""
