"""The object store: a port over obstore for a folder (local) and a bucket (aws).

Keys are create-only and objects immutable: nothing is updated in place, so readers never see a
partial write, and of two writers of one key only one succeeds. Differences between obstore's stores
(order of listings, deletion of a missing key, file names) are removed here.
"""

import json
import mmap
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore

from object_store.address import StoreAddress
from object_store.errors import (
    InvalidKey,
    KeyExists,
    KeyMissing,
    StoreError,
    StoreMissing,
    StoreUnwritable,
)
from object_store.rows import MARKER, Flaws, ObjectInfo, Row, key_flaw, sweep_unfinished

if TYPE_CHECKING:
    import pyarrow as pa


Listed = TypeVar("Listed", bound=Sized)
Infos = list[ObjectInfo]
# (inside the class, ``list`` is the method)

DAMAGED = "damaged/"
"""Prefix of damaged objects that were moved aside, before their keys."""

STALE_WRITE_S = 3600.0
"""Seconds after which an unfinished file counts as left by a killed writer."""


class ObjectStore(StoreAddress):
    """A folder (``file:///absolute/path``), a bucket (``s3://bucket/prefix``) or ``memory:///``.

    Every method may raise :class:`StoreMissing` (no such folder) and :class:`StoreError` (the
    store does not answer; the message quotes it). Each method documents its other errors.
    """

    def ensure(self) -> None:
        """Create the store's folder and marker unless they exist.

        Raises:
            StoreUnwritable: the folder cannot be created or written.
        """
        if self.root is not None:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnwritable(f"store {self.url} cannot be created: {error}") from error
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.create(MARKER, json.dumps({"format": 1, "created_at": now}).encode())

    def require(self) -> None:
        """Check that the store was set up.

        Raises:
            StoreMissing: it has no marker.
        """
        try:
            self.get(MARKER)  # no HEAD: S3 does not say why it refuses one
        except KeyMissing:
            remedy = "is the disk mounted and the address right?"
            if self.is_bucket:
                remedy = "is its name right (aws.bucket, aws.prefix)? `imgclf up` sets a new one up"
            raise StoreMissing(f"{self.url} is not a store (no {MARKER} in it): {remedy}") from None

    # --- write -----------------------------------------------------------------------------

    def create(self, key: str, data: bytes | Path, *, durable: bool = False) -> bool:
        """Write an object unless the key is taken; of concurrent writers one succeeds.

        Args:
            key: valid by ``rows.key_flaw``.
            data: the bytes, or a file with them (big files are not read into memory).
            durable: wait until it is on the disk, also if the key's folder is written in bulk.

        Returns:
            True if this call wrote it, False if the key was taken.

        Raises:
            InvalidKey: the key is invalid, is a folder, or lies below an object.
            StoreUnwritable: disk full, read-only, not permitted.
        """
        return self.create_tagged(key, data, durable=durable) is not None

    def create_tagged(self, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        """Write an object like :meth:`create`, and return the etag of what was written.

        It is the etag of these very bytes, even if somebody rewrites the object at once.

        Args:
            key: as for :meth:`create`.
            data: as for :meth:`create`.
            durable: as for :meth:`create`.

        Returns:
            The etag as a listing has it, "" if it is unknown; ``None`` if the key was taken.

        Raises:
            InvalidKey, StoreUnwritable: as :meth:`create`.
        """
        if flaw := key_flaw(key):
            raise InvalidKey(f"key {key!r} cannot be used: {flaw}")
        with self._translated(key, "write"):
            etag = self.place.create(key, data, durable=durable)
        if etag is None:
            self._refuse_folder(key)
        return etag

    def copy_object(self, source: str, target: str) -> bool:
        """Copy an object inside the store unless ``target`` is taken.

        In a bucket the copy is made by S3 (up to 5 GB).

        Returns:
            Whether this call wrote it.

        Raises:
            KeyMissing: there is no ``source``.
            InvalidKey, StoreUnwritable: see :meth:`create`.
        """
        if flaw := key_flaw(target):
            raise InvalidKey(f"key {target!r} cannot be used: {flaw}")
        with self._translated(source, "write"):
            written = self.place.copy(source, target)
        if not written:
            self._refuse_folder(target)
        return written

    def _refuse_folder(self, key: str) -> None:
        """Raise InvalidKey if the key is a folder."""
        path = self.local_path(key)
        if path is not None and path.is_dir():
            raise InvalidKey(f"key {key!r} cannot be used: other keys lie below it")

    def put(self, key: str, data: bytes | Path) -> None:
        """Write a new object like :meth:`create`, but raise :class:`KeyExists` if the key is taken."""
        if not self.create(key, data):
            raise KeyExists(f"{self.uri(key)} exists already, and objects are never rewritten")

    def copy_aside(self, key: str) -> str:
        """Copy a damaged object to ``damaged/``, which nothing reads.

        Returns:
            The copy's key.

        Raises:
            KeyMissing: there is no such object.
        """
        number, target = 0, f"{DAMAGED}{key}"
        while not self.copy_object(key, target):
            if self.head(target).size == self.head(key).size and self.get(target) == self.get(key):
                break  # it was copied by a run that was then killed
            number += 1
            target = f"{DAMAGED}{key}~{number}"
        return target

    def set_aside(self, key: str) -> str:
        """Move a damaged object to ``damaged/``; returns its key there. Raises KeyMissing."""
        target = self.copy_aside(key)
        self.delete(key)
        return target

    def delete(self, key: str) -> None:
        """Delete an object; no error if there is none."""
        try:
            with self._translated(key, "delete"):
                obstore.delete(self.place.store, key)
        except KeyMissing:
            return

    def delete_all(self, keys: Sequence[str]) -> None:
        """Delete many objects, a thousand per request; no error for missing ones."""
        if self.root is not None:
            for key in keys:
                self.delete(key)
        elif keys:
            with self._translated(keys[0], "delete"):
                obstore.delete(self.place.store, list(keys))

    def settle(self) -> None:
        """Wait until all writes to a folder are on the disk, also those in bulk."""
        if self.root is not None:
            os.sync()

    def sweep(self, older_than_s: float = STALE_WRITE_S) -> int:
        """Delete unfinished files of killed writers (hidden ``key#N`` files); returns how many.

        Under ``raw/`` people copy files, and ``photo#1`` may be theirs: there, it is deleted only if
        ``photo`` exists and begins with the same bytes. In a bucket, a lifecycle rule deletes
        unfinished multipart uploads (``cloudformation/foundation.yaml``).

        Args:
            older_than_s: minimum age in seconds.
        """
        if self.root is None:
            return 0
        return sweep_unfinished(self.root, older_than_s, people="raw")

    # --- read ------------------------------------------------------------------------------

    def get(self, key: str) -> bytes:
        """Return the object's bytes. Raises KeyMissing."""
        with self._translated(key):
            return bytes(obstore.get(self.place.store, key).bytes())

    async def get_async(
        self, key: str, admit: Callable[[int], Awaitable[object]] | None = None
    ) -> bytes:
        """Return the object's bytes, asynchronously.

        Args:
            key: of the object.
            admit: awaited with the object's size in bytes before they are read; may raise.

        Raises:
            KeyMissing: there is no such object.
        """
        with self._translated(key):
            found = await obstore.get_async(self.place.store, key)
        if admit is not None:
            await admit(found.meta["size"])
        with self._translated(key):
            return bytes(await found.bytes_async())

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Read part of an object.

        Args:
            key: of the object.
            offset: of the first byte.
            length: number of bytes.

        Raises:
            KeyMissing: there is no such object.
            StoreError: the object ends before ``offset + length``.
        """
        with self._translated(key):
            data = bytes(obstore.get_range(self.place.store, key, start=offset, length=length))
        if len(data) != length:
            raise StoreError(f"{self.uri(key)} has no {length} bytes from {offset}")
        return data

    def get_ranges(self, key: str, offsets: Sequence[int], length: int) -> Sequence[bytes]:
        """Read parts of equal length of an object, those that lie close together in one request.

        Args:
            key: of the object.
            offsets: of the first byte of each part.
            length: number of bytes of each part.

        Raises:
            KeyMissing: there is no such object.
            StoreError: the object ends before the end of a part.
        """
        if not len(offsets):
            return []
        with self._translated(key):
            parts = obstore.get_ranges(
                self.place.store, key, starts=offsets, lengths=[length] * len(offsets)
            )
        found = [bytes(part) for part in parts]
        if any(len(part) != length for part in found):
            raise StoreError(f"{self.uri(key)} has no {length} bytes from {max(offsets)}")
        return found

    def mapped(self, key: str) -> memoryview | None:
        """Map an object of a folder into memory, for reading; ``None`` if the store is no folder.

        Bytes are read from the disk when they are used, and need no memory of the process.

        Raises:
            KeyMissing: there is no such object.
        """
        path = self.local_path(key)
        if path is None:
            return None
        with self._translated(key), path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:  # which cannot be mapped
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def download(self, key: str, path: Path) -> None:
        """Write the object to a file atomically. Raises KeyMissing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as file, self._translated(key):
                for chunk in self.place.chunks(key):
                    file.write(chunk)
                    del chunk  # else it stays in memory while the next one is read
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def head(self, key: str) -> ObjectInfo:
        """Return size, etag and time of one object. Raises KeyMissing."""
        with self._translated(key):
            return self.place.head(key)

    def stated_sha256(self, key: str) -> str | None:
        """Return the SHA-256 (hex) in the object's metadata in a bucket; ``None`` if there is none.

        Raises:
            KeyMissing: there is no such object.
        """
        with self._translated(key):
            return self.place.sha256(key)

    def exists(self, key: str) -> bool:
        """Whether an object has the key."""
        try:
            self.head(key)
        except KeyMissing:
            return False
        return True

    # --- list ------------------------------------------------------------------------------

    def list(self, prefix: str, start_after: str | None = None) -> Infos:
        """List the objects whose key begins with the prefix (whole segments), sorted by key.

        Args:
            prefix: such as ``raw`` or ``raw/``; "" for all.
            start_after: only keys greater than this one.
        """
        rows = self._listed(prefix, start_after, sorted)
        return [ObjectInfo.from_row(row) for row in rows]

    def own_keys(self, prefix: str) -> Sequence[str]:
        """List the keys under a prefix in which only programs of ours write, sorted.

        Unlike :meth:`list` it does not look for the store's marker, which a job's role may not read.
        """
        # By obstore, also of a bucket: boto3 takes 0.4 CPU seconds to import, at the start of each
        # job. Keys that obstore does not understand (module s3) are nobody's here.
        with self._translated(prefix, "list"):
            pages = obstore.list(self.place.store, prefix)
            return sorted(item["path"] for page in pages for item in page)

    def list_table(self, prefix: str, start_after: str | None = None) -> "pa.Table":
        """List objects as a table of ``LISTING_SCHEMA``, for very many objects.

        Folders that cannot be read make :meth:`list` fail; here ``listing.unread`` returns them.

        Args:
            prefix: as of :meth:`list`.
            start_after: only keys greater than this one.
        """
        from object_store.listing import to_table, with_unread  # servers have no need of Arrow

        flaws: Flaws = []
        if self.root is None:
            return self._listed(prefix, start_after, to_table)
        return with_unread(self._listed(prefix, start_after, to_table, flaws), flaws)

    def collect(self, prefix: str, collect: Callable[[Iterator[Row]], Listed]) -> Listed:
        """Pass the rows of a listing, in no order, to ``collect`` and return its result.

        For very many objects of which little is kept.

        Args:
            prefix: as of :meth:`list`.
            collect: takes the rows; its result has a length, which is 0 if there are no rows.
        """
        return self._listed(prefix, None, collect)

    def survey(self, prefix: str) -> "tuple[pa.Table, Flaws]":
        """Return :meth:`list_table` and :meth:`unusable` of a prefix from one listing."""
        from object_store.listing import to_table, with_unread

        flaws: Flaws = []
        listed = self._listed(prefix, None, to_table, flaws)
        return (listed if self.root is None else with_unread(listed, flaws)), sorted(flaws)

    def window(self, prefix: str, start_after: str | None, limit: int) -> "tuple[pa.Table, bool]":
        """List the first ``limit`` objects in key order.

        A bucket is asked only for them; a folder is listed whole.

        Args:
            prefix: of the keys.
            start_after: only keys greater than this one; ``None``: all.
            limit: most rows.

        Returns:
            The listing (:data:`LISTING_SCHEMA`), and whether it is complete.
        """
        from object_store.listing import to_table

        order = iter if self.place.ordered else sorted

        def first(rows: Iterator[Row]) -> "pa.Table":
            return to_table(islice(order(rows), limit + 1))

        listed = self._listed(prefix, start_after, first)
        return listed.slice(0, limit), listed.num_rows <= limit

    def named(self, prefix: str, stem: str) -> Infos:
        """List the objects under the prefix whose names begin with ``stem``, sorted by key.

        A bucket is asked only for them; a folder is listed whole.
        """
        begin = f"{prefix.strip('/')}/{stem}".lstrip("/")

        def those(rows: Iterator[Row]) -> Sequence[Row]:
            return sorted(row for row in rows if row[0].startswith(begin))

        return [ObjectInfo.from_row(row) for row in self._listed(prefix, None, those, stem=stem)]

    def newest(self, prefix: str) -> ObjectInfo | None:
        """Return the object with the last key under the prefix; ``None`` if there is none."""
        rows = self._listed(prefix, None, sorted)
        return ObjectInfo.from_row(rows[-1]) if rows else None

    def unusable(self, prefix: str) -> Flaws:
        """List names under the prefix that cannot be objects, with the reasons."""
        return self.survey(prefix)[1]

    # --- inside ----------------------------------------------------------------------------

    def _listed(
        self,
        prefix: str,
        start_after: str | None,
        collect: Callable[[Iterator[Row]], Listed],
        flaws: Flaws | None = None,
        *,
        stem: str = "",
    ) -> Listed:
        """Pass the rows under the prefix (of a bucket: with ``stem``) to ``collect``."""
        prefix = prefix.strip("/")
        if prefix and (flaw := key_flaw(prefix)):
            raise InvalidKey(f"prefix {prefix!r} cannot be used: {flaw}")
        with self._translated(prefix, "list"):
            listed = collect(self.place.rows(prefix, start_after, flaws, stem))
        if not (len(listed) or stem) and start_after is None:
            self.require()  # an empty listing counts only if the store exists
        return listed
