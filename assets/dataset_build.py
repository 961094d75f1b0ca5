"""Assembling a data set: groups and splits, what stays out, shards, card."""

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.label_index import LabelledView
from assets.line import fingerprint
from assets.policies import SplitPolicy
from labelling.schema import LabelSchema
from resources.object_store import ObjectStore
from resources.store_errors import KeyMissing
from resources.tables import Table
from resources.transfer import get_many
from training.groups import GROUPS_SCHEMA, assign_groups
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


class ImageChanged(RuntimeError):  # noqa: N818 - a state, as its callers say it
    """An object under ``raw/`` does not hold the bytes that the image table knows."""


@dataclass(frozen=True)
class Assembly:
    """A data set before it is written.

    ``rows`` are manifest rows without their place in a shard; ``left_out`` maps a reason to the
    images (sha256) it kept out; ``conflicts`` are rows of ``labelling.conflicts``.
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


def groups_table(store: ObjectStore) -> Table:
    """The table of near-duplicate groups and their permanent splits."""
    return Table(store, "groups", GROUPS_SCHEMA)


def update_groups(store: ObjectStore, images: pa.Table, split: SplitPolicy) -> pa.Table:
    """Deal every image that has no group yet to one; return the whole table."""
    table = groups_table(store)
    known = table.read()
    fresh = images.filter(pc.invert(pc.is_in(images["sha256"], value_set=known["sha256"])))
    if fresh.num_rows:
        dealt = assign_groups(
            known,
            fresh.select(["sha256", "phash"]),
            max_distance=split.near_duplicate_distance,
            train=split.train,
            val=split.val,
            test=split.test,
        )
        table.append(dealt)
        table.compact()
        known = pa.concat_tables([known, dealt])
    return known


def assemble(
    images: pa.Table, view: LabelledView, groups: pa.Table, schema: LabelSchema
) -> Assembly:
    """Join images, labels and groups; pure.

    Args:
        images: usable images, one row per sha256.
        view: the label that counts for each image, and the conflicts.
        groups: the groups table.
    """
    # Of two rows, which only two runs at once can write, the first counts: a split is for ever.
    group_of = {row["sha256"]: row for row in reversed(groups.to_pylist())}
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
        # The same images make another data set under another task, or with the labels in
        # another order: a model's outputs follow it.
        version=fingerprint([content, schema.task, list(names)], 16),
        task=schema.task,
        labels=names,
        rows=sorted(rows, key=lambda row: row["sha256"]),
        left_out=dict(left_out),
        conflicts=view.conflicts,
        unlabelled=unlabelled,
    )


def write_shards(
    store: ObjectStore, assembly: Assembly, *, progress: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Pack the images that no shard holds yet; return the place of every image of the data set.

    Shards are shared by data set versions and named by their content, so a new version costs
    what is new in it, and a repeated attempt writes the same objects again.
    """
    table = Table(store, "shards", SHARDS_SCHEMA)
    placed = {row["sha256"]: row for row in table.read().to_pylist()}
    missing = [row for row in assembly.rows if row["sha256"] not in placed]
    items = _verified(store, missing)
    for shard in build_shards(items):
        store.create(f"{DATASETS}{shard.name}", shard.data)
        rows = [{"shard": shard.name, **asdict(member)} for member in shard.members]
        table.append(pa.Table.from_pylist(rows, schema=SHARDS_SCHEMA))
        placed |= {row["sha256"]: row for row in rows}
        progress(f"packed {len(rows)} images into {shard.name}")
    table.compact()
    return placed


def _verified(store: ObjectStore, rows: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Images and their bytes; shards are for ever, so what was rewritten meanwhile stays out."""
    for row, (key, data) in zip(
        rows, get_many(store, (row["raw_key"] for row in rows)), strict=True
    ):
        if data is None:
            raise KeyMissing(f"{key} is not in the store {store.url}")
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise ImageChanged(
                f"{key} was rewritten after it was indexed; materialize raw_images again "
                "(imgclf run does, and imgclf up does it by itself)"
            )
        yield row["sha256"], data


def sheet_key(version: str, label: str) -> str:
    """Key of a class's contact sheet; the label is percent-encoded, for it may hold anything."""
    return f"{dataset_prefix(version)}contact_sheets/{quote(label, safe='')}.jpg"


def write_contact_sheets(store: ObjectStore, assembly: Assembly, *, max_pixels: int) -> None:
    """One contact sheet per class that has images."""
    from training.contact_sheet import contact_sheet

    for label, rows in _by_label(assembly).items():
        if rows:
            pictures = _bytes_of(store, rows[:SHEET_CANDIDATES])
            sheet = contact_sheet(pictures, max_pixels=max_pixels)
            store.create(sheet_key(assembly.version, label), sheet)


def _bytes_of(store: ObjectStore, rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    return (store.get(row["raw_key"]) for row in rows)


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
) -> None:
    """Write the manifest, then the card: a version with a card is whole."""
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
        "shards": sorted({row["shard"] for row in rows}),
        "contact_sheets": {
            label: sheet_key(assembly.version, label)
            for label, members in by_label.items()
            if members
        },
    }
    store.create(f"{prefix}card.json", json.dumps(card, indent=1, ensure_ascii=False).encode())


def record_sources(store: ObjectStore, version: str, sources: Mapping[str, str]) -> None:
    """Keep from which content versions of the tables (asset to version) a data set came out.

    The same data set may come out of other tables later, and those are what it stands on then:
    a version must not be held up for ever by what was wrong beside it when it was first made.
    """
    if newest_sources(store, version) == dict(sources):
        return
    stamp = int(datetime.now(UTC).timestamp() * 1000)
    prefix = f"{dataset_prefix(version)}sources/"
    while not store.create(f"{prefix}{stamp:013d}.json", json.dumps(dict(sources)).encode()):
        stamp += 1


def newest_sources(store: ObjectStore, version: str) -> dict[str, str] | None:
    """What the data set came out of the last time, or ``None`` if it never did."""
    newest = store.newest(f"{dataset_prefix(version)}sources/")
    if newest is None:
        return None
    sources: dict[str, str] = json.loads(store.get(newest.key))
    return sources


def read_card(store: ObjectStore, version: str) -> dict[str, Any]:
    """The card of a data set version."""
    card: dict[str, Any] = json.loads(store.get(f"{dataset_prefix(version)}card.json"))
    return card


def read_dataset_manifest(store: ObjectStore, version: str) -> pa.Table:
    """The manifest of a data set version, in ``training.manifest.MANIFEST_SCHEMA``."""
    data = store.get(f"{dataset_prefix(version)}manifest.parquet")
    return pq.read_table(io.BytesIO(data))
