"""What has come to ``raw/`` and ``annotations/``: notices in the store, and who else tells of it.

A notice ``arrivals/<ms>-<hash>.json`` names objects that may have come, changed or gone. It says
no more, for whoever reads it looks at each object as it is then: so notices may be repeated,
late and out of order. They are deleted once the image table knows what they led to; a reader that
is killed before leaves them to the next.
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
from resources.contents.reading import parse_object
from resources.store.object_store import ObjectStore
from resources.store.transfer import get_many

ARRIVALS = "arrivals/"
LABEL_ARRIVALS = "label-arrivals/"
"""Where the notices of images and of annotation snapshots lie."""

FORMAT = 1

Warn = Callable[[str], None]


class _Notice(BaseModel):
    """What a notice must have."""

    format: Literal[1]
    keys: list[str]


class ArrivalsError(ImgclfError):
    """Who tells of arrivals cannot be asked; the message names it and the remedy."""


class Arrivals(dg.ConfigurableResource, ABC):
    """Somebody who tells of arrivals, so that ``raw/`` need not be listed for every look."""

    @property
    @abstractmethod
    def tells(self) -> bool:
        """Whether anything is ever told; if not, only the listing finds what is new."""

    @abstractmethod
    def collect(self, store: ObjectStore, warn: Warn) -> int:
        """Turn what was told since the last time into notices.

        Args:
            warn: is told what could not be understood.

        Returns:
            How many objects the new notices name. What is left over comes at the next call.

        Raises:
            ArrivalsError: it cannot be asked.
            StoreError: the notices cannot be written; nothing is lost.
        """


class NoArrivals(Arrivals):
    """Nobody tells: a folder, or a bucket without notifications."""

    @property
    def tells(self) -> bool:
        """No."""
        return False

    def collect(self, store: ObjectStore, warn: Warn) -> int:
        """Nothing."""
        return 0


def write_notice(
    store: ObjectStore,
    keys: Iterable[str],
    *,
    source: str,
    token: str = "",
    place: str = ARRIVALS,
) -> str:
    """Write a notice; its key.

    Args:
        keys: of the objects, in the store.
        source: who told, for people.
        token: names this very arrival for :func:`is_noticed`; default: the keys.
        place: where it lies.
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
    """Keys of the notices that wait, oldest first."""
    return [info.key for info in store.list(place) if info.key.endswith(".json")]


def is_noticed(notices: Iterable[str], token: str) -> bool:
    """Whether a notice with this token is among ``notices``."""
    digest = hashlib.sha256(token.encode()).hexdigest()[:16]
    return any(key.endswith(f"-{digest}.json") for key in notices)


def read_notices(store: ObjectStore, notices: Iterable[str]) -> set[str]:
    """The keys that the notices name; those that are gone meanwhile were read by another run.

    Raises:
        DamagedObject: a notice cannot be understood.
    """
    found: set[str] = set()
    for key, data in get_many(store, notices):
        if data is None:
            continue
        body = parse_object(store, key, data, _Notice)
        found.update(body["keys"])
    return found
