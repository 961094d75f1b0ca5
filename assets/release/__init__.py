"""The assets of a release: package, staging, approval, production."""
