"""A data set for training jobs: a manifest in Parquet and images in tar shards.

A version is identified by its content. Shards are named by their SHA-256 and shared by versions, so
a new version uploads only new images. An image is read with one positioned read, without an index
file.
"""

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from errors.base import ImgclfError
from labelling.columns import (
    LabelLists,
    codes_of,
    flat,
    is_ascending,
    is_plain,
    json_rows,
    picked,
    sort_order,
    taken,
)
from labelling.labels.schema import Task
from object_store.contents.sealed import is_intact, sealed_parquet

Split = Literal["train", "val", "test", "excluded"]

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("raw_key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)
"""One row per image. ``shard`` is relative to ``datasets/`` (``shards/<sha256>.tar``); ``offset`` and
``length`` are the position of the image in it, in bytes."""

CARD = "card.json"
"""File beside the manifest that describes the data set, for people and for jobs."""


class DatasetCard(BaseModel):
    """What a job needs of ``card.json``; the card says more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    task: Task
    labels: tuple[str, ...]


SHARD_BYTES = 64 * 1024 * 1024
"""Bytes of images in a shard: large enough for a bucket's full read speed, small enough that an
interrupted upload loses little."""


class ManifestError(ImgclfError, ValueError):
    """A manifest or a shard is invalid; the message names the file."""


@dataclass(frozen=True, slots=True)
class Member:
    """The position of one image in a shard; ``offset`` and ``length`` in bytes."""

    sha256: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One finished shard: ``name`` (``shards/<sha256>.tar``), its bytes and its images."""

    name: str
    data: bytes
    members: tuple[Member, ...]


def dataset_version(rows: pa.Table) -> str:
    """Return the version of a data set: 16 hex digits of a hash of every (sha256, labels, split).

    It does not depend on the order of rows or of an image's labels, or on the images' places.

    Args:
        rows: a table with at least the columns ``sha256``, ``labels`` and ``split``.
    """
    shas = flat(rows["sha256"])
    if not len(shas):
        return hashlib.sha256().hexdigest()[:16]
    if not is_plain(shas) or not (is_ascending(shas) or _is_one_by_one(shas)):
        lines = sorted(_lines(rows))
        return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()[:16]
    # The same lines in the same order, without a Python object per row.
    order = sort_order(shas)
    lists = LabelLists.of(rows["labels"]).take(order)
    ends = [
        json.dumps(["", sorted(kind)]).removeprefix('[""').removesuffix("]") for kind in lists.kinds
    ]
    splits = flat(rows["split"]).take(pa.array(order)).dictionary_encode()
    names = [json.dumps(["", name]).removeprefix('[""') for name in splits.dictionary.to_pylist()]
    digest = hashlib.sha256()
    parts = json_rows(
        '\n["',
        picked(shas, order),
        '"',
        pa.array(ends).take(pa.array(lists.codes)),
        pa.array(names).take(splits.indices),
    )
    for position, part in enumerate(parts):
        digest.update(part if position else part[1:])
    return digest.hexdigest()[:16]


def _is_one_by_one(shas: pa.Array) -> bool:
    """Whether every hash occurs only once."""
    return codes_of(shas)[1] == len(shas)


def _lines(rows: pa.Table) -> Iterator[str]:
    """Yield the lines that the version is a hash of, one per image."""
    columns = (rows[name].to_pylist() for name in ("sha256", "labels", "split"))
    for sha256, labels, split in zip(*columns, strict=True):
        yield json.dumps([sha256, sorted(labels), split])


def write_manifest(rows: pa.Table) -> bytes:
    """Return the bytes of ``manifest.parquet``: rows in ``MANIFEST_SCHEMA``, sorted by sha256."""
    table = rows.select(MANIFEST_SCHEMA.names).cast(MANIFEST_SCHEMA)
    return sealed_parquet(taken(table, sort_order(table["sha256"])).combine_chunks())


def read_manifest(path: Path) -> pa.Table:
    """Read the manifest at ``path``, in ``MANIFEST_SCHEMA``.

    Raises:
        ManifestError: the file is missing, damaged, not Parquet, or lacks a column.
    """
    try:
        data = path.read_bytes()
        if not is_intact(data):
            raise ValueError("a byte of it was changed since it was written")
        table = pq.read_table(pa.BufferReader(data))
        return table.select(MANIFEST_SCHEMA.names).cast(MANIFEST_SCHEMA)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise ManifestError(f"{path} is not a data set manifest: {error}") from error


def read_card(path: Path) -> DatasetCard:
    """Read the card at ``path``.

    Raises:
        ManifestError: the file is missing, or is no card.
    """
    try:
        return DatasetCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ManifestError(f"{path} is not a data set's card: {error}") from error


def build_shards(
    items: Iterable[tuple[str, bytes]], *, max_bytes: int = SHARD_BYTES
) -> Iterator[Shard]:
    """Pack images into tar shards in the given order.

    The same images in the same order give the same bytes, hence the same names. A shard ends before
    the image that would exceed ``max_bytes``; a larger image gets a shard of its own. At most one
    shard is in memory.

    Args:
        items: (sha256, bytes of the file) of every image.
        max_bytes: most bytes of images in one shard.
    """
    pending: list[tuple[str, bytes]] = []
    size = 0
    for sha256, data in items:
        if pending and size + len(data) > max_bytes:
            yield _shard(pending)
            pending, size = [], 0
        pending.append((sha256, data))
        size += len(data)
    if pending:
        yield _shard(pending)


def _shard(items: Sequence[tuple[str, bytes]]) -> Shard:
    sink = io.BytesIO()
    members = []
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sha256, data in items:
            header = tarfile.TarInfo(sha256)
            header.size = len(data)
            header.mode = 0o644
            tar.addfile(header, io.BytesIO(data))
            padded = -len(data) % tarfile.BLOCKSIZE
            members.append(Member(sha256, sink.tell() - padded - len(data), len(data)))
    content = sink.getvalue()
    name = f"shards/{hashlib.sha256(content).hexdigest()}.tar"
    return Shard(name, content, tuple(members))


class ShardReader:
    """Reads images from the shards of a data set.

    Safe to share between threads, and to send to other processes (each opens its own files).

    Args:
        root: folder that a manifest's ``shard`` paths are relative to (the data set channel).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self._root,)

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """Read bytes of a shard.

        Args:
            shard: path relative to the data set's folder.
            offset: of the first byte.
            length: number of bytes.

        Raises:
            ManifestError: the shard is missing or shorter than that.
        """
        data = os.pread(self._file(shard), length, offset)
        if len(data) != length:
            raise ManifestError(
                f"{self._root / shard} ends at byte {offset + len(data)}, where an image of "
                f"{length} bytes at {offset} was expected; build the data set again"
            )
        return data

    def _file(self, shard: str) -> int:
        with self._lock:
            if shard not in self._files:
                path = self._root / shard
                try:
                    self._files[shard] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except OSError as error:
                    raise ManifestError(f"shard {path} cannot be read: {error.strerror}") from error
            return self._files[shard]

    def close(self) -> None:
        """Close every file; reading afterwards opens them again."""
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
