"""The object store: one thin port over obstore, for a folder (local) and a bucket (aws).

Keys are create-only and immutable: nothing is updated in place, so a reader never sees half a
write and two writers of one key have one winner. What obstore's stores do differently (sorted
listings, deletion of a missing key, file names) is made the same here.
"""

import json
import os
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import unquote, urlsplit

import dagster as dg
import obstore
import pyarrow as pa
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url
from obstore.store import ObjectStore as AnyStore
from pydantic import PrivateAttr, field_validator

from resources.listing import (
    ObjectInfo,
    Row,
    key_flaw,
    local_row,
    local_rows,
    remote_rows,
    sweep_unfinished,
    to_table,
    unusable_names,
)
from resources.store_errors import (
    InvalidKey,
    KeyExists,
    KeyMissing,
    StoreError,
    StoreMissing,
    StoreUnwritable,
    told,
)

if TYPE_CHECKING:
    from obstore.store import S3Config

Listed = TypeVar("Listed", bound=Sized)
Infos = list[ObjectInfo]
Flaws = list[tuple[str, str]]
# (inside the class, ``list`` is the method)

MARKER = ".imgclf-store.json"
"""The key that says: this is a store of ours, and not an unmounted or mistyped folder."""

STALE_WRITE_S = 3600.0
"""Seconds after which a file that was being written is taken for a dead writer's."""


class ObjectStore(dg.ConfigurableResource):
    """A folder (``file:///absolute/path``), a bucket (``s3://bucket/prefix``) or ``memory:///``.

    Every method may raise :class:`StoreMissing` (no such folder) and :class:`StoreError` (the
    store does not answer, with its own words); what else it raises is said with it.
    """

    url: str
    options: dict[str, str] = {}
    """Options of obstore's S3Store, such as ``region`` or ``endpoint``."""

    _store: AnyStore | None = PrivateAttr(default=None)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
            raise ValueError(f"store URL {url!r}: a folder is written file:///absolute/path")
        if parts.scheme not in ("file", "s3", "memory"):
            raise ValueError(f"store URL {url!r}: use file:///absolute/path or s3://bucket/prefix")
        return url.rstrip("/") if parts.path.strip("/") else url

    # --- the place -------------------------------------------------------------------------

    @property
    def root(self) -> Path | None:
        """The folder, if the store is one."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def ensure(self) -> None:
        """Set the store up (folder and marker) if it is not yet.

        Raises:
            StoreUnwritable: the folder cannot be made or written.
        """
        if self.root is not None:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnwritable(f"store {self.url} cannot be created: {error}") from error
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.create(MARKER, json.dumps({"format": 1, "created_at": now}).encode())

    def require(self) -> None:
        """Make sure that this is a store of ours.

        Raises:
            StoreMissing: the marker is not there.
        """
        if not self.exists(MARKER):
            raise StoreMissing(
                f"{self.url} is not a store (no {MARKER} in it): is the disk mounted and the "
                "address right?"
            )

    def uri(self, key: str) -> str:
        """The object's address, for people and links."""
        path = self._local(key)
        return path.as_uri() if path else f"{self.url.rstrip('/')}/{key}"

    def local_path(self, key: str) -> Path | None:
        """The object's file, to read only; None if the store is no folder."""
        return self._local(key)

    # --- write -----------------------------------------------------------------------------

    def create(self, key: str, data: bytes | Path) -> bool:
        """Write an object unless the key is taken; of racing writers one wins.

        Args:
            key: see ``listing.key_flaw``.
            data: the bytes, or the file that has them (read into memory).

        Returns:
            True if this call wrote it, False if the key was taken.

        Raises:
            InvalidKey: also if the key is a folder, or lies below an object.
            StoreUnwritable: disk full, read-only, not permitted.
        """
        if flaw := key_flaw(key):
            raise InvalidKey(f"key {key!r} cannot be used: {flaw}")
        try:
            with self._translated(key, writing=True):
                obstore.put(self._open(), key, data, mode="create")
        except KeyExists:
            path = self._local(key)
            if path is not None and path.is_dir():
                raise InvalidKey(f"key {key!r} cannot be used: other keys lie below it") from None
            return False
        return True

    def put(self, key: str, data: bytes | Path) -> None:
        """Write a new object: like :meth:`create`, but a taken key raises :class:`KeyExists`."""
        if not self.create(key, data):
            raise KeyExists(f"{self.uri(key)} exists already, and objects are never rewritten")

    def delete(self, key: str) -> None:
        """Delete an object; that it is missing already is fine."""
        try:
            with self._translated(key, writing=True):
                obstore.delete(self._open(), key)
        except KeyMissing:
            return

    def sweep(self, older_than_s: float = STALE_WRITE_S) -> int:
        """Delete what killed writers left (hidden ``key#N`` files); returns how many.

        ``raw/`` is left alone: people copy files there, and ``photo#1`` may be theirs.
        """
        if self.root is None:  # a bucket keeps no parts of an unfinished PUT
            return 0
        return sweep_unfinished(self.root, older_than_s, keep="raw")

    # --- read ------------------------------------------------------------------------------

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises KeyMissing."""
        with self._translated(key):
            return bytes(obstore.get(self._open(), key).bytes())

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``. Raises KeyMissing; StoreError if out of range."""
        with self._translated(key):
            data = bytes(obstore.get_range(self._open(), key, start=offset, length=length))
        if len(data) != length:
            raise StoreError(f"{self.uri(key)} has no {length} bytes from {offset}")
        return data

    def download(self, key: str, path: Path) -> None:
        """Write the object to a file, which appears whole or not at all. Raises KeyMissing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                for chunk in self._chunks(key):
                    file.write(chunk)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def head(self, key: str) -> ObjectInfo:
        """Size, etag and time of one object. Raises KeyMissing."""
        path = self._local(key)
        with self._translated(key):
            if path is not None:
                self._open()
                if not path.is_file():
                    raise FileNotFoundError(key)
                return ObjectInfo.from_row(local_row(key, path.stat()))
            meta = obstore.head(self._open(), key)
            return ObjectInfo(key, meta["size"], meta["e_tag"] or "", meta["last_modified"])

    def exists(self, key: str) -> bool:
        """Whether an object has the key."""
        try:
            self.head(key)
        except KeyMissing:
            return False
        return True

    # --- list ------------------------------------------------------------------------------

    def list(self, prefix: str, start_after: str | None = None) -> Infos:
        """The objects whose key begins with the prefix (whole segments), sorted by key.

        Args:
            prefix: such as ``raw`` or ``raw/``; "" for all.
            start_after: only keys greater than this one.
        """
        rows = self._listed(prefix, start_after, sorted)
        return [ObjectInfo.from_row(row) for row in rows]

    def list_table(self, prefix: str, start_after: str | None = None) -> pa.Table:
        """Like :meth:`list`, as a table of ``LISTING_SCHEMA``: for very many objects."""
        return self._listed(prefix, start_after, to_table)

    def newest(self, prefix: str) -> ObjectInfo | None:
        """The object with the last key under the prefix."""
        rows = self._listed(prefix, None, sorted)
        return ObjectInfo.from_row(rows[-1]) if rows else None

    def unusable(self, prefix: str) -> Flaws:
        """Files under the prefix that cannot be objects because of their names, with reasons."""
        return unusable_names(self.root, prefix) if self.root is not None else []

    # --- inside ----------------------------------------------------------------------------

    def _local(self, key: str) -> Path | None:
        return self.root / key if self.root is not None else None

    def _open(self) -> AnyStore:
        """The obstore store, opened at first use."""
        if self._store is None:
            if self.root is None:
                config = cast("S3Config", self.options) if self.options else None
                self._store = from_url(self.url, config=config)
            elif self.root.is_dir():
                self._store = LocalStore(self.root)
            else:
                raise StoreMissing(
                    f"{self.root} is not a folder: is the disk mounted and the address right?"
                )
        return self._store

    def _listed(
        self, prefix: str, start_after: str | None, collect: Callable[[Iterator[Row]], Listed]
    ) -> Listed:
        """What ``collect`` makes of the rows under the prefix."""
        prefix = prefix.strip("/")
        if prefix and (flaw := key_flaw(prefix)):
            raise InvalidKey(f"prefix {prefix!r} cannot be used: {flaw}")
        store = self._open()
        with self._translated(prefix):
            listed = collect(
                local_rows(self.root, prefix, start_after)
                if self.root is not None
                else remote_rows(store, prefix, start_after)
            )
        if not len(listed) and start_after is None:
            self.require()  # nothing there is only believed of a store that is there
        return listed

    def _chunks(self, key: str) -> Iterator[bytes]:
        with self._translated(key):
            yield from obstore.get(self._open(), key).stream(min_chunk_size=8 << 20)

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Raise obstore's errors as ours: its text names neither the store nor a remedy."""
        try:
            yield
        except (BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and self.root and not self.root.is_dir():
                gone = f"{self.root} is not there any more: is the disk mounted?"
                raise StoreMissing(gone) from error
            raise told(error, key, self.url, self.uri(key), writing=writing) from error
