"""The store's adapters other than a bucket: a folder, and this process's memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, MemoryStore
from obstore.store import ObjectStore as AnyStore

from object_store.durable import create_file
from object_store.errors import StoreMissing
from object_store.rows import Flaws, ObjectInfo, Row, local_row, local_rows

BULK = ("raw/", "annotations/ingested/", "inspections/", "pipes/", "captures/")
"""Prefixes of objects that are written by the thousand and can be made again: an ingest waits for
the disk once, at its end (``ObjectStore.settle``). All others are on the disk when a write returns."""

BIG_BYTES = 16 * 2**20
"""Larger files are not read into memory to be copied."""

_CHUNK = 8 * 2**20


class Place(Protocol):
    """Operations that differ between a folder, a bucket and memory; errors are not converted."""

    ordered: bool
    """Whether :meth:`rows` yields in the order of keys, a page at a time."""

    @property
    def store(self) -> AnyStore:
        """obstore's store. Raises StoreMissing, Refusal."""

    def create(self, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        """Write an object unless the key is taken.

        Args:
            key: of the object.
            data: the bytes, or a file with them.
            durable: wait until it is on the disk, also below :data:`BULK`.

        Returns:
            The etag of what this call wrote, "" if it is unknown; ``None`` if the key was taken.
        """

    def copy(self, source: str, target: str) -> bool:
        """Copy an object unless ``target`` is taken; returns whether this call wrote it."""

    def head(self, key: str) -> ObjectInfo:
        """Return size, etag and time of an object."""

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 (hex) of an object, if it is known without reading the bytes."""

    def chunks(self, key: str) -> Iterator[bytes | obstore.Bytes]:
        """Yield an object's bytes in chunks of ``object_store.s3_multipart.PART_BYTES`` at most."""

    def rows(
        self, prefix: str, start_after: str | None, flaws: Flaws | None = None, stem: str = ""
    ) -> Iterator[Row]:
        """Yield a row for each object under ``prefix`` that can be read.

        Args:
            prefix: whole path segments without a slash at the end; "" for everything.
            start_after: only keys greater than this one; ``None``: all.
            flaws: names that are left out, and why, are appended to it.
            stem: a bucket yields only objects whose names below ``prefix`` begin with it.
        """


class Folder:
    """A folder of this machine, through obstore's LocalStore."""

    ordered = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self._store: LocalStore | None = None

    @property
    def store(self) -> AnyStore:
        """obstore's store of it, opened at first use."""
        if self._store is None:
            if not self.root.is_dir():
                raise StoreMissing(
                    f"{self.root} is not a folder: is the disk mounted and the address right?"
                )
            self._store = LocalStore(self.root)
        return self._store

    def create(self, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        """Write a file unless it exists.

        Args:
            key: of the object.
            data: its bytes, or a file with them.
            durable: whether it must survive a power cut; see ``object_store.durable``.

        Returns:
            The ETag; ``None`` if the key exists.
        """
        # Not by LocalStore, which leaves `<key>#1` behind when it is killed, and does not wait for
        # the disk: a power cut could lose objects on which decisions were based.
        if not self.store:  # raises if there is no folder
            raise StoreMissing(str(self.root))
        durable = durable or not key.startswith(BULK)
        status = create_file(self.root, key, data, durable=durable)
        return None if status is None else ObjectInfo.from_row(local_row(key, status)).etag

    def copy(self, source: str, target: str) -> bool:
        """Copy the bytes; a link, as LocalStore makes, would share later changes of the file."""
        self.head(source)
        return self.create(target, self.root / source) is not None

    def head(self, key: str) -> ObjectInfo:
        """Return size, etag and time from the file's status."""
        path = self.root / key
        if not self.store or not path.is_file():
            raise FileNotFoundError(key)
        return ObjectInfo.from_row(local_row(key, path.stat()))

    def sha256(self, key: str) -> str | None:
        """Return ``None``: a folder has no checksums."""
        return None

    def chunks(self, key: str) -> Iterator[bytes | obstore.Bytes]:
        """Yield the file's bytes in chunks of 8 MiB."""
        yield from obstore.get(self.store, key).stream(min_chunk_size=_CHUNK)

    def rows(
        self, prefix: str, start_after: str | None, flaws: Flaws | None = None, stem: str = ""
    ) -> Iterator[Row]:
        """Yield a row for each file, in no order; see ``object_store.rows.local_rows``.

        Args:
            prefix: whole path segments without a slash at the end; "" for everything.
            start_after: only keys greater than this one; ``None``: all.
            flaws: names that are left out, and why, are appended to it.
            stem: not used.
        """
        return local_rows(self.root, prefix, start_after, flaws)


class Memory:
    """This process's memory, for tests."""

    ordered = False

    def __init__(self) -> None:
        self.store: AnyStore = MemoryStore()

    def create(self, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        """Store an object unless it exists.

        Args:
            key: of the object.
            data: its bytes, or a file with them.
            durable: not used.

        Returns:
            The ETag; ``None`` if the key exists.
        """
        return _put(self.store, key, data)

    def copy(self, source: str, target: str) -> bool:
        """See :class:`Place`."""
        return _put(self.store, target, bytes(obstore.get(self.store, source).bytes())) is not None

    def head(self, key: str) -> ObjectInfo:
        """See :class:`Place`."""
        meta = obstore.head(self.store, key)
        return ObjectInfo(key, meta["size"], meta["e_tag"] or "", meta["last_modified"])

    def sha256(self, key: str) -> str | None:
        """Return ``None``: memory has no checksums."""
        return None

    def chunks(self, key: str) -> Iterator[bytes | obstore.Bytes]:
        """See :class:`Place`."""
        yield bytes(obstore.get(self.store, key).bytes())

    def rows(
        self, prefix: str, start_after: str | None, flaws: Flaws | None = None, stem: str = ""
    ) -> Iterator[Row]:
        """Yield a row for each object, in no order.

        Args:
            prefix: whole path segments without a slash at the end; "" for everything.
            start_after: only keys greater than this one; ``None``: all.
            flaws: not used: there are no objects that cannot be read.
            stem: not used.
        """
        for chunk in obstore.list(self.store, prefix or None, offset=start_after):
            for meta in chunk:
                modified = round(meta["last_modified"].timestamp() * 1e6)
                yield meta["path"], meta["size"], meta["e_tag"] or "", modified


def _put(store: AnyStore, key: str, data: bytes | Path) -> str | None:
    try:
        return obstore.put(store, key, data, mode="create")["e_tag"] or ""
    except AlreadyExistsError:
        return None
