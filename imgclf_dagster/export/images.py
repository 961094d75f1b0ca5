"""The encoded bytes of a data set's images, as they were ingested."""

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from assets.dataset.versions import DATASETS
from object_store.errors import StoreError, StoreMissing, StoreUnavailable
from object_store.store import ObjectStore
from training.data.manifest import ManifestError, ShardReader


class ImageUnreadable(Exception):
    """Neither a shard nor ``raw/`` has the image's bytes; the message has the reason."""


class DatasetImages:
    """Reads images by their rows in the manifest. Safe for several threads.

    An image is read from its shard, and from ``raw/`` if the shard is damaged. The SHA-256 of its
    bytes is compared with the manifest's.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        folder = store.local_path(DATASETS)
        self._reader = ShardReader(folder) if folder else None
        self.mended: set[str] = set()
        """Damaged shards whose images were read from ``raw/``."""

    def read(self, row: Mapping[str, Any]) -> bytes:
        """Return the encoded bytes of an image.

        Raises:
            ImageUnreadable: neither source has the image's bytes.
            StoreError: the store does not answer.
        """
        # Shards first: they are never rewritten, and hold the images of a version side by side.
        try:
            data = self._from_shard(row)
            if _is(data, row):
                return data
            flaw = f"{DATASETS}{row['shard']} holds other bytes where the image was"
        except (StoreMissing, StoreUnavailable):
            raise
        except (StoreError, ManifestError, OSError) as error:
            flaw = str(error)
        data = self._from_raw(row, flaw)
        with self._lock:
            self.mended.add(row["shard"])
        return data

    def _from_shard(self, row: Mapping[str, Any]) -> bytes:
        if self._reader is not None:  # it keeps files open, which takes a tenth of the CPU time
            return self._reader.read(row["shard"], row["offset"], row["length"])
        return self._store.get_range(f"{DATASETS}{row['shard']}", row["offset"], row["length"])

    def close(self) -> None:
        """Close the open shards."""
        if self._reader is not None:
            self._reader.close()

    def _from_raw(self, row: Mapping[str, Any], flaw: str) -> bytes:
        try:
            data = self._store.get(row["raw_key"])
        except (StoreMissing, StoreUnavailable):
            raise
        except StoreError as error:
            raise ImageUnreadable(f"{flaw}; and {error}; {_REMEDY}") from None
        if not _is(data, row):
            changed = f"{row['raw_key']} was rewritten since"
            raise ImageUnreadable(f"{flaw}; and {changed}; {_REMEDY}")
        return data


_REMEDY = "restore it from a backup or ingest the image again (imgclf doctor --store says more)"


def _is(data: bytes, row: Mapping[str, Any]) -> bool:
    return hashlib.sha256(data).hexdigest() == row["sha256"]
