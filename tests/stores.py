"""Stores for tests."""

from pathlib import Path

from object_store.store import ObjectStore


def make_store(folder: Path) -> ObjectStore:
    """A store in ``folder``, with its marker."""
    store = ObjectStore(url=folder.as_uri())
    store.ensure()
    return store
