"""Notices of changes below ``raw/`` and ``annotations/``, and the port for their sources.

A notice ``arrivals/<ms>-<hash>.json`` names objects that may have been created, changed or deleted.
The reader looks at each object itself, so notices may be repeated, late and out of order. They are
deleted when the image table holds the result; if a reader is killed before, the next one reads them.
"""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Literal

import dagster as dg
from pydantic import BaseModel

from errors.base import ImgclfError
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from object_store.transfer import get_many

ARRIVALS = "arrivals/"
LABEL_ARRIVALS = "label-arrivals/"
"""Prefixes of the notices of images and of annotation snapshots."""

FORMAT = 1

Warn = Callable[[str], None]


class _Notice(BaseModel):
    """The required fields of a notice."""

    format: Literal[1]
    keys: list[str]


class ArrivalsError(ImgclfError):
    """The source of notifications does not answer; the message names it and the remedy."""


class Arrivals(dg.ConfigurableResource, ABC):
    """A source of notices about new objects, so that ``raw/`` need not be listed at each poll."""

    @property
    @abstractmethod
    def tells(self) -> bool:
        """Whether there are notices at all; if not, only the listing finds new objects."""

    @abstractmethod
    def collect(self, store: ObjectStore, warn: Warn) -> int:
        """Turn the notifications since the last call into notices.

        Args:
            store: to write the notices to.
            warn: called with a line of text for each notification that cannot be parsed.

        Returns:
            How many objects the new notices name. Notifications that are left over are read by the
            next call.

        Raises:
            ArrivalsError: the source does not answer.
            StoreError: the notices cannot be written; no notification is lost.
        """


class NoArrivals(Arrivals):
    """No notifications: a folder, or a bucket without them."""

    @property
    def tells(self) -> bool:
        """No."""
        return False

    def collect(self, store: ObjectStore, warn: Warn) -> int:
        """Do nothing; there are no notifications."""
        return 0


def write_notice(
    store: ObjectStore,
    keys: Iterable[str],
    *,
    source: str,
    token: str = "",
    place: str = ARRIVALS,
) -> str:
    """Write a notice.

    Args:
        store: to write to.
        keys: of the objects, in the store.
        source: of the notification, for people.
        token: identifies this event for :func:`is_noticed`; default: the keys.
        place: prefix of the notice.

    Returns:
        The notice's key.
    """
    names = sorted(set(keys))
    digest = hashlib.sha256((token or "\0".join(names)).encode()).hexdigest()[:16]
    body = {"format": FORMAT, "source": source, "keys": names}
    data = json.dumps(body, ensure_ascii=False).encode()
    moment = time.time_ns() // 1_000_000
    while not store.create(f"{place}{moment:013d}-{digest}.json", data):
        moment += 1  # another process noticed the same in the same millisecond
    return f"{place}{moment:013d}-{digest}.json"


def pending_notices(store: ObjectStore, place: str = ARRIVALS) -> list[str]:
    """List the keys of the notices that were not processed yet, oldest first."""
    return [info.key for info in store.list(place) if info.key.endswith(".json")]


def is_noticed(notices: Iterable[str], token: str) -> bool:
    """Whether a notice with this token is among ``notices``."""
    digest = hashlib.sha256(token.encode()).hexdigest()[:16]
    return any(key.endswith(f"-{digest}.json") for key in notices)


def read_notices(store: ObjectStore, notices: Iterable[str]) -> set[str]:
    """Return the keys that the notices name; skips notices that another run has deleted.

    Raises:
        DamagedObject: a notice cannot be parsed.
    """
    found: set[str] = set()
    for key, data in get_many(store, notices):
        if data is None:
            continue
        body = parse_object(store, key, data, _Notice)
        found.update(body["keys"])
    return found
