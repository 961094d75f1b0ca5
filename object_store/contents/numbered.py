"""Records in the order of their writing: ``<folder>/<number>.json``, each numbered newest + 1.

Numbers do not depend on a clock, so a clock that is set back cannot put a new record before an old
one. Older stores have the time in milliseconds as the number; the next records count on from it.
"""

import re
from collections.abc import Iterable

from object_store.store import ObjectStore

_NAME = re.compile(r"^(\d{1,18})(-[^/]*)?\.json$")

DIGITS = 13
"""Digits of a number in a key; milliseconds since the epoch have as many until the year 2286."""


def number_of(key: str) -> int | None:
    """Return the number in a record's key; ``None`` if it is not the key of a numbered record."""
    found = _NAME.match(key.rpartition("/")[2])
    return int(found[1]) if found else None


def newest_key(store: ObjectStore, folder: str) -> str | None:
    """Return the key of the record with the highest number under ``folder``, or ``None``."""
    keys = _numbered(info.key for info in store.list(folder))
    return max(keys)[1] if keys else None


def next_number(store: ObjectStore, folder: str) -> int:
    """Return the number of the next record under ``folder``: newest + 1, and 1 for the first."""
    newest = newest_key(store, folder)
    return (number_of(newest) or 0) + 1 if newest else 1


def add_record(store: ObjectStore, folder: str, data: bytes) -> str:
    """Write a record with the next free number. Two writers at once get different numbers.

    Args:
        store: to write to.
        folder: prefix of the records.
        data: the record's JSON.

    Returns:
        The record's key.
    """
    while True:
        key = f"{folder.rstrip('/')}/{next_number(store, folder):0{DIGITS}d}.json"
        if store.create(key, data):
            return key


def _numbered(keys: Iterable[str]) -> list[tuple[int, str]]:
    """Return keys with their numbers; keys of other objects (such as manual copies) are left out."""
    return [(number, key) for key in keys if (number := number_of(key)) is not None]
