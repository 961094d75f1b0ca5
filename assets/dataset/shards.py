"""The shards of data sets: images packed into archives, and where each lies."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset.assembly import Assembly
from assets.dataset.versions import DATASETS
from errors.base import ImgclfError
from labelling.columns import (
    codes_of,
    flat,
    kept,
    last_of_each,
    taken,
)
from labelling.report.words import count
from object_store.contents.tables import Table
from object_store.errors import KeyMissing, ObjectRefused
from object_store.store import ObjectStore
from object_store.transfer import at_once, get_many
from training.data.manifest import build_shards

SHARDS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
    ]
)


class ImageChanged(ImgclfError, RuntimeError):
    """An object under ``raw/`` has other bytes than when it was indexed."""


def shards_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """Return the table of images' places in shards, in ``SHARDS_SCHEMA``.

    ``on_damage``: see :class:`object_store.contents.tables.Table`.
    """
    return Table(store, "shards", SHARDS_SCHEMA, on_damage=on_damage)


def write_shards(
    store: ObjectStore,
    assembly: Assembly,
    *,
    progress: Callable[[str], None],
    lost: dict[str, str] | None = None,
) -> pa.Table:
    """Pack the images that are in no shard yet.

    Shards are shared by data set versions and named by their content, so a new version costs only
    what is new in it, and a repeated attempt writes the same objects.

    Args:
        store: gets the shards and the rows of their table.
        assembly: the data set.
        progress: called with a message after each shard.
        lost: gets image (sha256) to reason, of those that ``raw/`` does not have as they were
            indexed; ``None``: the first of them raises.

    Returns:
        The places of all images of the data set, and of others, in ``SHARDS_SCHEMA``.

    Raises:
        KeyMissing: ``raw/`` lacks an image, and ``lost`` is ``None``.
        ImageChanged: an image has other bytes, and ``lost`` is ``None``.
    """
    table = shards_table(store, on_damage=progress)
    placed = [_whole_places(store, table.read())]
    there = pc.is_in(assembly.rows["sha256"], value_set=flat(placed[0]["sha256"]))
    missing = assembly.rows.filter(pc.invert(there)).select(["sha256", "raw_key"]).to_pylist()
    verified = verified_images if lost is None else partial(salvaged_images, lost=lost)
    for shard in build_shards(verified(store, missing)):
        store.create(f"{DATASETS}{shard.name}", shard.data)
        rows = [{"shard": shard.name, **asdict(member)} for member in shard.members]
        placed.append(pa.Table.from_pylist(rows, schema=SHARDS_SCHEMA))
        table.append(placed[-1])
        progress(f"packed {count(len(rows), 'image')} into {shard.name}")
    table.compact()
    return pa.concat_tables(placed)


def _whole_places(store: ObjectStore, places: pa.Table) -> pa.Table:
    """Return the last place of each image, of those places that lie within their shard."""
    sizes = {info.key: info.size for info in store.list(f"{DATASETS}shards")}
    shards = flat(places["shard"]).dictionary_encode()
    reach = [sizes.get(f"{DATASETS}{shard}", 0) for shard in shards.dictionary.to_pylist()]
    reach_of = np.array(reach, np.int64)[shards.indices.to_numpy()] if reach else np.empty(0)
    ends = np.asarray(flat(pc.add(places["offset"], places["length"])))
    whole = kept(places, reach_of >= ends)
    return taken(whole, np.sort(last_of_each(*codes_of(whole["sha256"]))))


def verified_images(store: ObjectStore, rows: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Yield (sha256, bytes) of images whose bytes have the sha256.

    Raises:
        KeyMissing: an image is not under ``raw/``.
        ImageChanged: an image has other bytes than when it was indexed.
    """
    found = get_many(store, (row["raw_key"] for row in rows))
    for row, (_, data) in zip(rows, found, strict=True):
        yield row["sha256"], _verified(store, row, data)


def salvaged_images(
    store: ObjectStore, rows: list[dict[str, Any]], lost: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Yield (sha256, bytes) of the images that can be read; record the others.

    Args:
        store: object store of the project.
        rows: ``sha256`` and ``raw_key`` of each image.
        lost: gets image (sha256) to reason, of missing, unreadable and changed images.
    """

    def read(row: dict[str, Any]) -> bytes | str:
        try:
            return _verified(store, row, store.get(row["raw_key"]))
        except (KeyMissing, ObjectRefused, ImageChanged) as error:
            return str(error)

    found = at_once(read, rows, threads=32 if store.is_bucket else 1, ahead=3)
    for row, outcome in zip(rows, found, strict=True):
        if isinstance(outcome, str):
            lost[row["sha256"]] = outcome
        else:
            yield row["sha256"], outcome


def _verified(store: ObjectStore, row: Mapping[str, Any], data: bytes | None) -> bytes:
    """Return ``data`` if it has the row's sha256."""
    if data is None:
        raise KeyMissing(f"{row['raw_key']} is not in the store {store.url}")
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise ImageChanged(
            f"{row['raw_key']} was rewritten after it was indexed; materialize raw_images again "
            "(imgclf run does, and imgclf up does automatically)"
        )
    return data
