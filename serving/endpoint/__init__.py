"""The endpoint: models loaded, requests answered."""
