"""Objects under ``raw/`` that are there and cannot be read: an archive, a foreign key of encryption,
a file of another user.

Each is a rejected image with its remedy, and the others go on. Unlike what is no image, it may be
read some day with not a byte of it changed; so it is asked for again, a byte at a time.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.store.errors import KeyMissing, ObjectRefused, StoreError, StoreUnavailable
from resources.store.object_store import ObjectStore
from resources.store.transfer import at_once, workers

PROBES = 100
"""So many of the refused are asked for at each look, drawn by chance if there are more: a request
each, and an archive may hold millions."""


def refused_keys(rows: pa.Table) -> list[str]:
    """Keys of the refused among the newest rows of the image table."""
    refused = pc.fill_null(rows["refused"], False)
    keys: list[str] = rows["key"].filter(refused).to_pylist()
    return keys


def readable_again(store: ObjectStore, refused: Sequence[str]) -> list[str]:
    """Those of ``refused`` that can be read now, of ``PROBES`` of them; sorted."""
    asked = random.sample(refused, min(PROBES, len(refused)))
    told = at_once(lambda key: (key, _can_be_read(store, key)), asked, threads=workers(store))
    return sorted(key for key, readable in told if readable)


def blame(
    store: ObjectStore,
    found: Iterable[Mapping[str, Any]],
    known_refused: Collection[str],
    readable: Callable[[], Iterable[str]],
) -> None:
    """Tell objects that refuse from a reader who may read nothing.

    Args:
        found: rows of objects that were asked for, none of which could be read.
        known_refused: keys that were refused before.
        readable: gives keys of images that were read before, if any.

    Raises:
        ObjectRefused: it is the reader. Nothing is rejected then, for all would be.
    """
    new = [row for row in found if row["refused"] and row["key"] not in known_refused]
    if not new or any(_can_be_read(store, key) for key in readable()):
        return
    raise ObjectRefused(
        f"none of {len(new)} new objects under raw/ can be read, nor any that could be before, so it "
        f"is the reader who lacks the permission: {new[0]['reason']}"
    )


def _can_be_read(store: ObjectStore, key: str) -> bool:
    try:
        store.get_range(key, 0, 1)
    except (ObjectRefused, KeyMissing):
        return False
    except StoreUnavailable:
        raise
    except StoreError:  # it has no first byte, and tells
        return True
    return True
