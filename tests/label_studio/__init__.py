"""A real Label Studio for tests; see server.py, and fixtures.py for how tests get it."""
