"""Objects under ``raw/`` that exist but cannot be read: archived, encrypted with a foreign key, or
owned by another user.

Each is a rejected image with its remedy; the others are indexed. It may become readable without a
change of its bytes, so the first byte is requested again at each look.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from object_store.errors import KeyMissing, ObjectRefused, StoreError, StoreUnavailable
from object_store.store import ObjectStore
from object_store.transfer import at_once, workers

PROBES = 100
"""Refused objects that are tried at each look, a random sample: each is a request, and there may be
millions.
"""


def refused_keys(rows: pa.Table) -> list[str]:
    """Return the keys of refused objects, from the newest rows of the image table."""
    refused = pc.fill_null(rows["refused"], False)
    keys: list[str] = rows["key"].filter(refused).to_pylist()
    return keys


def readable_again(store: ObjectStore, refused: Sequence[str]) -> list[str]:
    """Try up to ``PROBES`` of ``refused``; return the keys that can be read now, sorted."""
    asked = random.sample(refused, min(PROBES, len(refused)))
    answers = at_once(lambda key: (key, _can_be_read(store, key)), asked, threads=workers(store))
    return sorted(key for key, readable in answers if readable)


def blame(
    store: ObjectStore,
    found: Iterable[Mapping[str, Any]],
    known_refused: Collection[str],
    readable: Callable[[], Iterable[str]],
) -> None:
    """Distinguish objects that cannot be read from a user who may read nothing.

    Args:
        store: object store of the project.
        found: rows of objects that were requested; none of them could be read.
        known_refused: keys that were refused before.
        readable: returns keys of images that were read before, if any.

    Raises:
        ObjectRefused: the user lacks the permission to read. Nothing is rejected then, as
            everything would be.
    """
    new = [row for row in found if row["refused"] and row["key"] not in known_refused]
    if not new or any(_can_be_read(store, key) for key in readable()):
        return
    raise ObjectRefused(
        f"none of {len(new)} new objects under raw/ can be read, and none of the objects known "
        f"before, so the reading role lacks a permission: {new[0]['reason']}"
    )


def _can_be_read(store: ObjectStore, key: str) -> bool:
    try:
        store.get_range(key, 0, 1)
    except (ObjectRefused, KeyMissing):
        return False
    except StoreUnavailable:
        raise
    except StoreError:  # it is empty, but may be read
        return True
    return True
