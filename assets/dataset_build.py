"""Assembling a data set: groups and splits, what stays out, shards, card."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from assets.label_index import LabelledView
from assets.line import fingerprint
from assets.policies import SplitPolicy
from errors.base import ImgclfError
from labelling.foreign_text import visible
from labelling.schema import LabelSchema
from resources.damage import DamagedObject
from resources.numbered import add_record, newest_key
from resources.object_store import ObjectStore
from resources.reading import read_object, read_rows
from resources.store_errors import KeyMissing, ObjectRefused
from resources.tables import Table
from resources.transfer import at_once, get_many
from training.manifest import MANIFEST_SCHEMA, build_shards, dataset_version, write_manifest

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
IDENTITY_SCHEMA = pa.schema([MANIFEST_SCHEMA.field(n) for n in ("sha256", "labels", "split")])
SHEET_CANDIDATES = 24

LOST = "raw/ does not hold it as it was indexed"
"""Why an image is left out that cannot be packed; the log says more of each."""


class ImageChanged(ImgclfError, RuntimeError):  # noqa: N818 - a state, as its callers say it
    """An object under ``raw/`` does not hold the bytes that the image table knows."""


@dataclass(frozen=True)
class Assembly:
    """A data set before it is written.

    ``rows`` are manifest rows without their place in a shard; ``left_out`` maps a reason to the
    images (sha256) it kept out; ``conflicts`` are rows of
    ``labelling.consensus.CONFLICTS_SCHEMA``.
    """

    version: str
    task: str
    labels: tuple[str, ...]
    rows: list[dict[str, Any]]
    left_out: dict[str, list[str]]
    conflicts: list[dict[str, Any]]
    unlabelled: int


def dataset_prefix(version: str) -> str:
    """Where a data set version lies."""
    return f"{DATASETS}{version}/"


def shards_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """Where each image lies in a shard; ``on_damage``: see :class:`resources.tables.Table`."""
    return Table(store, "shards", SHARDS_SCHEMA, on_damage=on_damage)


def assemble(
    images: pa.Table, view: LabelledView, groups: pa.Table, schema: LabelSchema
) -> Assembly:
    """Join images, labels and groups; pure.

    Args:
        images: usable images, one row per sha256.
        view: the label that counts for each image, and the conflicts.
        groups: one row an image (``assets.splitting``).
    """
    group_of = {row["sha256"]: row for row in groups.to_pylist()}
    conflicted = {row["sha256"]: row["reason"] for row in view.conflicts}
    left_out: dict[str, list[str]] = defaultdict(list)
    rows: list[dict[str, Any]] = []
    unlabelled = 0
    for image in images.select(["sha256", "width", "height", "key"]).to_pylist():
        sha = image["sha256"]
        labels = view.labels.get(sha)
        group = group_of[sha]
        if sha in conflicted:
            left_out[conflicted[sha]].append(sha)
        elif labels is None:
            unlabelled += 1
        elif group["split"] not in SPLITS:
            left_out[group["reason"].partition(":")[0]].append(sha)
        else:
            rows.append(
                {
                    "sha256": sha,
                    "labels": sorted(labels),
                    "split": group["split"],
                    "group_id": group["group_id"],
                    "width": image["width"],
                    "height": image["height"],
                    "raw_key": image["key"],
                }
            )
    names = schema.names or tuple(sorted({label for row in rows for label in row["labels"]}))
    content = dataset_version(pa.Table.from_pylist(rows, schema=IDENTITY_SCHEMA))
    return Assembly(
        version=version_of(content, schema.task, names),
        task=schema.task,
        labels=names,
        rows=sorted(rows, key=lambda row: row["sha256"]),
        left_out=dict(left_out),
        conflicts=view.conflicts,
        unlabelled=unlabelled,
    )


def without(assembly: Assembly, lost: Mapping[str, str]) -> Assembly:
    """The data set without images that cannot be had; another version.

    Args:
        lost: images (sha256), and why.
    """
    rows = [row for row in assembly.rows if row["sha256"] not in lost]
    content = dataset_version(pa.Table.from_pylist(rows, schema=IDENTITY_SCHEMA))
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
) -> dict[str, dict[str, Any]]:
    """Pack the images that no shard holds yet; return the place of every image of the data set.

    Shards are shared by data set versions and named by their content, so a new version costs
    what is new in it, and a repeated attempt writes the same objects again.

    Args:
        lost: gets the images (sha256) that ``raw/`` does not have as they were indexed, and why;
            without it, the first of them raises KeyMissing or ImageChanged.
    """
    table = shards_table(store, on_damage=progress)
    sizes = {info.key: info.size for info in store.list(f"{DATASETS}shards")}
    placed = {
        row["sha256"]: row
        for row in table.read().to_pylist()
        if sizes.get(f"{DATASETS}{row['shard']}", 0) >= row["offset"] + row["length"]
    }
    missing = [row for row in assembly.rows if row["sha256"] not in placed]
    verified = verified_images if lost is None else partial(salvaged_images, lost=lost)
    for shard in build_shards(verified(store, missing)):
        store.create(f"{DATASETS}{shard.name}", shard.data)
        rows = [{"shard": shard.name, **asdict(member)} for member in shard.members]
        table.append(pa.Table.from_pylist(rows, schema=SHARDS_SCHEMA))
        placed |= {row["sha256"]: row for row in rows}
        progress(f"packed {len(rows)} images into {shard.name}")
    table.compact()
    return placed


def verified_images(store: ObjectStore, rows: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Images and their bytes. Raises KeyMissing, ImageChanged."""
    found = get_many(store, (row["raw_key"] for row in rows))
    for row, (_, data) in zip(rows, found, strict=True):
        yield row["sha256"], _verified(store, row, data)


def salvaged_images(
    store: ObjectStore, rows: list[dict[str, Any]], lost: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Images and their bytes; those that cannot be had are put into ``lost`` with the reason."""

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
    """The bytes, if they are those of the row; shards are for ever."""
    if data is None:
        raise KeyMissing(f"{row['raw_key']} is not in the store {store.url}")
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise ImageChanged(
            f"{row['raw_key']} was rewritten after it was indexed; materialize raw_images again "
            "(imgclf run does, and imgclf up does it by itself)"
        )
    return data


def sheet_key(version: str, label: str) -> str:
    """Key of a class's contact sheet. Of a label only a hash is in it: a label may be longer than
    a key, and hold anything."""
    digest = hashlib.sha256(label.encode()).hexdigest()[:16]
    return f"{dataset_prefix(version)}contact_sheets/{digest}.jpg"


def write_contact_sheets(
    store: ObjectStore, assembly: Assembly, *, max_pixels: int, warn: Callable[[str], object]
) -> dict[str, str]:
    """One contact sheet per class that has images; their keys by label.

    They are an ornament: what one lacks is told to ``warn``, and stops nothing.
    """
    from training.contact_sheet import contact_sheet

    sheets = {}
    for label, rows in _by_label(assembly).items():
        if not rows:
            continue
        key = sheet_key(assembly.version, label)
        try:
            found = _objects(store, rows[:SHEET_CANDIDATES])
            sheet, missing = contact_sheet(found, max_pixels=max_pixels)
            if sheet is not None:
                store.create(key, sheet)
                sheets[label] = key
        except Exception as error:  # noqa: BLE001 - nothing about a sheet may cost the data set
            warn(f"no contact sheet of {visible(label)}: {type(error).__name__}: {error}")
            continue
        for name, reason in missing.items():
            warn(f"{name} is not on the contact sheet of {visible(label)}: {reason}")
    return sheets


def _objects(
    store: ObjectStore, rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, bytes | None]]:
    for row in rows:
        try:
            yield row["raw_key"], store.get(row["raw_key"])
        except (KeyMissing, ObjectRefused):
            yield row["raw_key"], None


def _by_label(assembly: Assembly) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {label: [] for label in assembly.labels}
    for row in assembly.rows:
        for label in row["labels"]:
            rows[label].append(row)
    return rows


def write_dataset(
    store: ObjectStore,
    assembly: Assembly,
    placed: Mapping[str, Mapping[str, Any]],
    split: SplitPolicy,
    sheets: Mapping[str, str] | None = None,
    *,
    generation: int | None = None,
) -> None:
    """Write the manifest, then the card: a version with a card is whole.

    Args:
        store: gets them.
        assembly: the data set.
        placed: where each of its images lies (``write_shards``).
        split: the policy it was split by.
        sheets: keys of the contact sheets by label.
        generation: of its splits; ``None``: not known.
    """
    prefix = dataset_prefix(assembly.version)
    rows = [
        row | {name: placed[row["sha256"]][name] for name in ("shard", "offset", "length")}
        for row in assembly.rows
    ]
    manifest = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)
    store.create(f"{prefix}manifest.parquet", write_manifest(manifest))
    by_label = _by_label(assembly)
    card = {
        "version": assembly.version,
        "created_at": datetime.now(UTC).isoformat(),
        "task": assembly.task,
        "labels": list(assembly.labels),
        "images": len(rows),
        "unlabelled": assembly.unlabelled,
        "counts": {
            label: {name: sum(row["split"] == name for row in members) for name in SPLITS}
            for label, members in by_label.items()
        },
        "left_out": assembly.left_out,
        "conflicts": [
            {**row, "annotated_at": str(row["annotated_at"])} for row in assembly.conflicts
        ],
        "split_policy": split.model_dump(),
        "generation": generation,
        "shards": sorted({row["shard"] for row in rows}),
        "contact_sheets": dict(sheets or {}),
    }
    store.create(f"{prefix}card.json", json.dumps(card, indent=1, ensure_ascii=False).encode())


def record_sources(store: ObjectStore, version: str, sources: Mapping[str, str]) -> None:
    """Keep from which content versions of the tables (asset to version) a data set came out.

    The same data set may come out of other tables later, and those are what it stands on then:
    a version must not be held up for ever by what was wrong beside it when it was first made.
    """
    try:
        if newest_sources(store, version) == dict(sources):
            return
    except DamagedObject:  # this one comes after it, and counts
        pass
    add_record(store, f"{dataset_prefix(version)}sources/", json.dumps(dict(sources)).encode())


def newest_sources(store: ObjectStore, version: str) -> dict[str, str] | None:
    """What the data set came out of the last time, or ``None`` if it never did.

    Raises:
        DamagedObject: that cannot be read. An older one never counts in its place.
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
    """The card of a data set version. Raises KeyMissing, DamagedObject."""
    key = f"{dataset_prefix(version)}card.json"
    card = read_object(store, key, Card)
    if card["version"] != version:
        raise DamagedObject(key, f"it is the card of {card['version']}", store.url)
    return card


def read_dataset_manifest(store: ObjectStore, version: str) -> pa.Table:
    """The manifest of a data set version, in ``training.manifest.MANIFEST_SCHEMA``.

    Raises:
        KeyMissing: it, or the card, is not there.
        DamagedObject: it cannot be read, or its content is not what the version is the hash of.
    """
    key = f"{dataset_prefix(version)}manifest.parquet"
    rows, card = read_rows(store, key, MANIFEST_SCHEMA), read_card(store, version)
    actual = version_of(dataset_version(rows), card["task"], card["labels"])
    if actual != version:
        flaw = f"its content and card.json make the version {actual}"
        raise DamagedObject(key, flaw, store.url)
    return rows


def version_of(content: str, task: str, labels: Sequence[str]) -> str:
    """The version of a data set: the same images make another one under another task, or with the
    labels in another order, as a model's outputs follow it.

    Args:
        content: what ``training.manifest.dataset_version`` says of its rows.
    """
    return fingerprint([content, task, list(labels)], 16)
