"""Assembling a data set: its rows, the images that are left out, shards, contact sheets, card."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from assets.annotations.label_index import LabelledView
from assets.line import fingerprint
from assets.policies import SplitPolicy
from errors.base import ImgclfError
from labelling.columns import (
    LabelLists,
    codes_of,
    flat,
    is_ascending,
    is_true,
    kept,
    labels_table_of,
    last_of_each,
    picked,
    positions,
    sort_order,
    taken,
)
from labelling.labels.foreign_text import visible
from labelling.labels.schema import LabelSchema
from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import add_record, newest_key
from object_store.contents.reading import read_object, read_rows
from object_store.contents.tables import Table
from object_store.errors import KeyMissing, ObjectRefused
from object_store.store import ObjectStore
from object_store.transfer import at_once, get_many
from training.data.manifest import MANIFEST_SCHEMA, build_shards, dataset_version, write_manifest

DATASETS = "datasets/"
SPLITS = ("train", "val", "test")
SHARDS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
    ]
)
ROWS_SCHEMA = pa.schema(
    [field for field in MANIFEST_SCHEMA if field.name not in SHARDS_SCHEMA.names[1:]]
)
"""A manifest without the columns that locate an image in a shard."""
IDENTITY_SCHEMA = pa.schema([MANIFEST_SCHEMA.field(n) for n in ("sha256", "labels", "split")])
SHEET_CANDIDATES = 24

LOST = "the file under raw/ differs from what was indexed"
"""Why an image that cannot be packed is left out; the log has the reason of each."""


class ImageChanged(ImgclfError, RuntimeError):  # noqa: N818 - a state
    """An object under ``raw/`` has other bytes than when it was indexed."""


@dataclass(frozen=True)
class Assembly:
    """A data set before it is written.

    Attributes:
        version: hash of the content, task and labels, 16 hex digits.
        task: ``single_label`` or ``multi_label``.
        labels: the classes, in the order of a model's outputs.
        rows: in ``ROWS_SCHEMA``, sorted by sha256.
        left_out: reason to the images (sha256) that it excludes.
        conflicts: rows of ``labelling.labels.consensus.CONFLICTS_SCHEMA``.
        unlabelled: number of images without a label.
    """

    version: str
    task: str
    labels: tuple[str, ...]
    rows: pa.Table
    left_out: dict[str, list[str]]
    conflicts: list[dict[str, Any]]
    unlabelled: int


def dataset_prefix(version: str) -> str:
    """Return the prefix of a data set version."""
    return f"{DATASETS}{version}/"


def shards_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """Return the table of images' places in shards, in ``SHARDS_SCHEMA``.

    ``on_damage``: see :class:`object_store.contents.tables.Table`.
    """
    return Table(store, "shards", SHARDS_SCHEMA, on_damage=on_damage)


def assemble(
    images: pa.Table, view: LabelledView, groups: pa.Table, schema: LabelSchema
) -> Assembly:
    """Join images, labels and groups; pure.

    Args:
        images: usable images, one row per sha256.
        view: the label that counts for each image, and the conflicts.
        groups: one row an image (``assets.dataset.splits.splitting``).
        schema: label schema; without ``names`` the classes are those in use, sorted.

    Raises:
        KeyError: an image has no group.
    """
    shas, labelled = flat(images["sha256"]), labels_table_of(view.labels)
    label_row, group = positions(shas, labelled["sha256"]), positions(shas, groups["sha256"])
    if (group < 0).any():
        raise KeyError(shas[int(np.argmin(group))].as_py())
    disputed = is_true(
        pc.is_in(shas, value_set=pa.array([r["sha256"] for r in view.conflicts], pa.string()))
    )
    splits = picked(groups["split"], group)
    is_dealt = is_true(pc.is_in(splits, value_set=pa.array(SPLITS)))
    out = disputed | ((label_row >= 0) & ~is_dealt)
    chosen = np.flatnonzero((label_row >= 0) & is_dealt & ~disputed)
    if not is_ascending(shas):
        chosen = chosen[sort_order(picked(shas, chosen))]
    lists = LabelLists.of(labelled["labels"]).take(label_row[chosen])
    rows = pa.table(
        {
            "sha256": picked(shas, chosen),
            "labels": lists.column(sorted),
            "split": picked(splits, chosen),
            "group_id": picked(groups["group_id"], group[chosen]),
            "width": picked(images["width"], chosen),
            "height": picked(images["height"], chosen),
            "raw_key": picked(images["key"], chosen),
        },
    ).cast(ROWS_SCHEMA)
    names = schema.names or tuple(sorted({label for kind in lists.used() for label in kind}))
    return Assembly(
        version=version_of(dataset_version(rows), schema.task, names),
        task=schema.task,
        labels=names,
        rows=rows,
        left_out=_left_out(shas, np.flatnonzero(out), groups.take(pa.array(group[out])), view),
        conflicts=view.conflicts,
        unlabelled=int(((label_row < 0) & ~disputed).sum()),
    )


def _left_out(
    shas: pa.Array, where: np.ndarray, groups: pa.Table, view: LabelledView
) -> dict[str, list[str]]:
    """Return reason to the images (sha256) that it excludes.

    Args:
        shas: all images.
        where: positions of the excluded ones.
        groups: their rows, in the same order.
        view: has the conflicts.
    """
    conflicted = {row["sha256"]: row["reason"] for row in view.conflicts}
    found: dict[str, list[str]] = defaultdict(list)
    reasons = groups["reason"].to_pylist()
    for sha, reason in zip(shas.take(pa.array(where)).to_pylist(), reasons, strict=True):
        found[conflicted[sha] if sha in conflicted else reason.partition(":")[0]].append(sha)
    return dict(found)


def without(assembly: Assembly, lost: Mapping[str, str]) -> Assembly:
    """Return the data set without images that cannot be read; its version is another one.

    Args:
        assembly: the data set.
        lost: image (sha256) to reason.
    """
    gone = pc.is_in(assembly.rows["sha256"], value_set=pa.array(list(lost), pa.string()))
    rows = assembly.rows.filter(pc.invert(gone))
    content = dataset_version(rows)
    return replace(
        assembly,
        version=version_of(content, assembly.task, assembly.labels),
        rows=rows,
        left_out={**assembly.left_out, LOST: sorted(lost)},
    )


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
        progress(f"packed {len(rows)} images into {shard.name}")
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


def sheet_key(version: str, label: str) -> str:
    """Return the key of a class's contact sheet.

    It has a hash of the label, as a label may be longer than a key and hold any character.
    """
    digest = hashlib.sha256(label.encode()).hexdigest()[:16]
    return f"{dataset_prefix(version)}contact_sheets/{digest}.jpg"


def write_contact_sheets(
    store: ObjectStore, assembly: Assembly, *, max_pixels: int, warn: Callable[[str], object]
) -> dict[str, str]:
    """Write a contact sheet of each class that has images.

    A failure is reported to ``warn`` and raises nothing.

    Args:
        store: object store of the project.
        assembly: the data set.
        max_pixels: images with more pixels are left out.
        warn: called with each message.

    Returns:
        Label to key of its sheet.
    """
    from training.data.contact_sheet import contact_sheet

    sheets = {}
    for label, keys in _first_keys(assembly, SHEET_CANDIDATES).items():
        key = sheet_key(assembly.version, label)
        try:
            found = _objects(store, keys)
            sheet, missing = contact_sheet(found, max_pixels=max_pixels)
            if sheet is not None:
                store.create(key, sheet)
                sheets[label] = key
        except Exception as error:  # noqa: BLE001 - a data set does not need its sheets
            warn(f"no contact sheet of {visible(label)}: {type(error).__name__}: {error}")
            continue
        for name, reason in missing.items():
            warn(f"{name} is not on the contact sheet of {visible(label)}: {reason}")
    return sheets


def _objects(store: ObjectStore, keys: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    for key in keys:
        try:
            yield key, store.get(key)
        except (KeyMissing, ObjectRefused):
            yield key, None


def _first_keys(assembly: Assembly, count: int) -> dict[str, list[str]]:
    """Return label to the keys of its first ``count`` images, of each label in use."""
    rows = assembly.rows
    lists = flat(rows["labels"])
    words = flat(pc.list_flatten(lists)).dictionary_encode()
    of, image = words.indices.to_numpy(), np.asarray(flat(pc.list_parent_indices(lists)))
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(len(words.dictionary) + 1))
    place = {name: number for number, name in enumerate(words.dictionary.to_pylist())}
    found = {}
    for label in assembly.labels:
        if label in place:
            start, end = ends[place[label] : place[label] + 2].tolist()
            where = image[order[start : min(end, start + count)]]
            found[label] = rows["raw_key"].take(pa.array(where)).to_pylist()
    return found


def _counts(assembly: Assembly) -> dict[str, dict[str, int]]:
    """Return label to split to number of images."""
    counts = {label: dict.fromkeys(SPLITS, 0) for label in assembly.labels}
    lists = LabelLists.of(assembly.rows["labels"])
    for split in SPLITS:
        mine = lists.take(np.flatnonzero(is_true(pc.equal(assembly.rows["split"], split))))
        for kind, images in zip(mine.kinds, mine.counts().tolist(), strict=True):
            for label in kind if images else ():
                counts[label][split] += images
    return counts


def write_dataset(
    store: ObjectStore,
    assembly: Assembly,
    placed: pa.Table,
    split: SplitPolicy,
    sheets: Mapping[str, str] | None = None,
    *,
    generation: int | None = None,
) -> None:
    """Write the manifest, then the card, which marks the version as complete.

    Args:
        store: object store of the project.
        assembly: the data set.
        placed: the places of its images (``write_shards``), in ``SHARDS_SCHEMA``.
        split: the policy it was split by.
        sheets: label to key of its contact sheet.
        generation: number of the generation of its splits; ``None``: unknown.
    """
    prefix = dataset_prefix(assembly.version)
    place = positions(assembly.rows["sha256"], placed["sha256"])
    manifest = assembly.rows
    for name in SHARDS_SCHEMA.names[1:]:
        manifest = manifest.append_column(name, picked(placed[name], place))
    store.create(f"{prefix}manifest.parquet", write_manifest(manifest))
    card = {
        "version": assembly.version,
        "created_at": datetime.now(UTC).isoformat(),
        "task": assembly.task,
        "labels": list(assembly.labels),
        "images": manifest.num_rows,
        "unlabelled": assembly.unlabelled,
        "counts": _counts(assembly),
        "left_out": assembly.left_out,
        "conflicts": [
            {**row, "annotated_at": str(row["annotated_at"])} for row in assembly.conflicts
        ],
        "split_policy": split.model_dump(),
        "generation": generation,
        "shards": sorted(pc.unique(manifest["shard"]).to_pylist()),
        "contact_sheets": dict(sheets or {}),
    }
    store.create(f"{prefix}card.json", json.dumps(card, indent=1, ensure_ascii=False).encode())


def record_sources(store: ObjectStore, version: str, sources: Mapping[str, str]) -> None:
    """Record the content versions of the tables that a data set was made from.

    If the same data set is made from other tables later, the newest record counts: a version must
    not stay blocked by a fault of its former tables.

    Args:
        store: object store of the project.
        version: data set version.
        sources: asset name to content version.
    """
    try:
        if newest_sources(store, version) == dict(sources):
            return
    except DamagedObject:  # the new record comes after it and replaces it
        pass
    add_record(store, f"{dataset_prefix(version)}sources/", json.dumps(dict(sources)).encode())


def newest_sources(store: ObjectStore, version: str) -> dict[str, str] | None:
    """Return the tables that the data set was last made from: asset name to content version.

    Returns:
        ``None`` if the data set was never made.

    Raises:
        DamagedObject: the record cannot be read. An older one is never used in its place.
    """
    newest = newest_key(store, f"{dataset_prefix(version)}sources/")
    return None if newest is None else read_object(store, newest, Sources)


class Sources(BaseModel):
    """From which content versions of the tables a data set came."""

    raw_images: str
    annotations: str


class Card(BaseModel):
    """What ``card.json`` must have; it says more."""

    model_config = ConfigDict(extra="allow")

    version: str
    task: str
    labels: list[str]
    counts: dict[str, dict[str, int]]
    shards: list[str]
    contact_sheets: dict[str, str] = {}


def read_card(store: ObjectStore, version: str) -> dict[str, Any]:
    """Read the card of a data set version.

    Raises:
        KeyMissing: there is none.
        DamagedObject: it cannot be read, or is the card of another version.
    """
    key = f"{dataset_prefix(version)}card.json"
    card = read_object(store, key, Card)
    if card["version"] != version:
        raise DamagedObject(key, f"it is the card of {card['version']}", store.url)
    return card


def read_dataset_manifest(store: ObjectStore, version: str) -> pa.Table:
    """Read the manifest of a data set version, in ``training.data.manifest.MANIFEST_SCHEMA``.

    Raises:
        KeyMissing: the manifest or the card is missing.
        DamagedObject: it cannot be read, or its content has another hash than the version.
    """
    key = f"{dataset_prefix(version)}manifest.parquet"
    rows, card = read_rows(store, key, MANIFEST_SCHEMA), read_card(store, version)
    actual = version_of(dataset_version(rows), card["task"], card["labels"])
    if actual != version:
        flaw = f"its content and card.json make the version {actual}"
        raise DamagedObject(key, flaw, store.url)
    return rows


def version_of(content: str, task: str, labels: Sequence[str]) -> str:
    """Return the version of a data set: a hash of its content, task and labels, 16 hex digits.

    The order of the labels counts, as a model's outputs follow it.

    Args:
        content: ``training.data.manifest.dataset_version`` of its rows.
        task: ``single_label`` or ``multi_label``.
        labels: the classes in order.
    """
    return fingerprint([content, task, list(labels)], 16)
