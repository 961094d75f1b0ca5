"""Repair of damaged data sets, from ``raw/`` and the tables."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import labelled_view
from assets.annotations.label_names import label_names
from assets.dataset.assembly import ROWS_SCHEMA, Assembly, assemble
from assets.dataset.shards import (
    SHARDS_SCHEMA,
    ImageChanged,
    shards_table,
    verified_images,
    write_shards,
)
from assets.dataset.splits.generations import generation_number
from assets.dataset.splits.splitting import current_groups
from assets.dataset.versions import (
    DATASETS,
    dataset_prefix,
    read_card,
    read_dataset_manifest,
    version_of,
)
from assets.dataset.writing import write_dataset
from assets.ingestion.image_index import images_table, newest_rows, usable_images
from assets.line import Line
from labelling.labels.schema import LabelSchema, Task
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import read_rows
from object_store.errors import KeyMissing, StoreError
from object_store.store import ObjectStore
from training.data.manifest import MANIFEST_SCHEMA, build_shards, dataset_version

Say = Callable[[str], object]


def is_whole(store: ObjectStore, version: str, say: Say) -> bool:
    """Whether the data set exists and can be used; its damaged shards are built again.

    A damaged manifest or card, or one that needs a shard which cannot be rebuilt, is set aside so
    that it can be written again.

    Args:
        store: object store of the project.
        version: data set version.
        say: called with a message about each repair.
    """
    prefix = dataset_prefix(version)
    if not store.exists(f"{prefix}card.json"):
        return False
    try:
        manifest = read_dataset_manifest(store, version)
    except KeyMissing:
        return False
    except DamagedObject as damage:
        for key in {damage.key, f"{prefix}card.json"}:  # the card marks the version as complete
            say(f"{key} is moved to {store.set_aside(key)} and written again: {damage.flaw}")
        return False
    for shard, flaw in short_shards(store, manifest).items():
        try:
            rebuild_shard(store, manifest, shard, flaw)
        except DamagedObject as damage:
            say(
                f"{damage}. Its images that are still under raw/ are packed again; the others are "
                "left out"
            )
            for name in ("card.json", "manifest.parquet"):
                store.set_aside(f"{prefix}{name}")
            return False
        say(f"{DATASETS}{shard} was built again from raw/: {flaw}")
    return True


def mend_places(store: ObjectStore, say: Say) -> int:
    """Restore lost rows of the table of places from the manifests, which have them too.

    An image that is in no manifest is packed again when it is needed.

    Returns:
        Number of rows that were restored.
    """
    table = shards_table(store, on_damage=say)
    if not table.flaws():
        return 0
    there = set(table.read()["sha256"].to_pylist())
    rows = []
    for manifest in manifests(store):
        for row in manifest.select(SHARDS_SCHEMA.names).to_pylist():
            if row["sha256"] not in there:
                there.add(row["sha256"])
                rows.append(row)
    if rows:
        table.append(pa.Table.from_pylist(rows, schema=SHARDS_SCHEMA))
    table.compact()
    return len(rows)


def manifests(store: ObjectStore) -> Iterator[pa.Table]:
    """Yield every manifest that can be read."""
    for info in store.list(DATASETS):
        if info.key.endswith("/manifest.parquet"):
            with suppress(DamagedObject, KeyMissing):
                yield read_dataset_manifest(store, info.key.split("/")[1])


def manifests_of_generation(store: ObjectStore, generation: int) -> Iterator[pa.Table]:
    """Yield every readable manifest of a data set whose splits are of ``generation``."""
    for info in store.list(DATASETS):
        if not info.key.endswith("/card.json"):
            continue
        version = info.key.split("/")[1]
        with suppress(DamagedObject, KeyMissing):
            # Cards of earlier versions have no generation: it is the first one, 0.
            if read_card(store, version).get("generation", 0) == generation:
                yield read_dataset_manifest(store, version)


def short_shards(store: ObjectStore, manifest: pa.Table) -> dict[str, str]:
    """Return the shards of a manifest that are missing or truncated, and what is wrong.

    Sizes are listed; no shard is read.
    """
    sizes = {info.key: info.size for info in store.list(f"{DATASETS}shards")} if manifest else {}
    ends = manifest.append_column("end", pc.add(manifest["offset"], manifest["length"]))
    needed = ends.group_by("shard").aggregate([("end", "max")]).to_pylist()
    found = {}
    for row in needed:
        size = sizes.get(f"{DATASETS}{row['shard']}")
        if size is None:
            found[row["shard"]] = "it is missing"
        elif size < row["end_max"]:
            found[row["shard"]] = f"it ends at byte {size:,} of {row['end_max']:,} or more"
    return found


def rebuild_shard(store: ObjectStore, rows: pa.Table, shard: str, flaw: str) -> None:
    """Build a shard again from ``raw/``; the damaged one is set aside.

    Args:
        store: object store of the project.
        rows: its images: ``sha256``, ``shard``, ``offset`` and ``raw_key``.
        shard: ``shards/<sha256>.tar``.
        flaw: what is wrong with it.

    Raises:
        DamagedObject: the images under ``raw/`` do not make this shard; nothing was changed.
    """
    key = f"{DATASETS}{shard}"
    members = rows.filter(pc.equal(rows["shard"], shard)).sort_by("offset").to_pylist()
    try:
        built = next(build_shards(verified_images(store, members), max_bytes=_NO_BOUND), None)
    except (KeyMissing, ImageChanged) as error:
        remedy = f"restore {_lost(store, members)} images under raw/ from a backup ({error})"
        raise DamagedObject(key, flaw, store.url, remedy) from None
    if built is None or built.name != shard:
        remedy = "restore it from a backup: it cannot be built again from the images known"
        raise DamagedObject(key, flaw, store.url, remedy)
    with suppress(KeyMissing):
        store.set_aside(key)
    store.create(key, built.data)


_NO_BOUND = 2**62


def _lost(store: ObjectStore, members: list[dict[str, Any]]) -> int:
    """Count the images that ``raw/`` does not hold with their sha256."""
    lost = 0
    for row in members:
        try:
            lost += hashlib.sha256(store.get(row["raw_key"])).hexdigest() != row["sha256"]
        except StoreError:
            lost += 1
    return lost


def restore_version(store: ObjectStore, line: Line, version: str) -> str:
    """Write the manifest or the card of a data set again.

    Each is made from the other one or from the tables, and only written if its content has the
    version as its hash.

    Args:
        store: object store of the project.
        line: the settings of labels and splits.
        version: data set version.

    Returns:
        What it was made from, as text; empty if it could not be restored.
    """
    prefix = dataset_prefix(version)
    if manifest := _readable_manifest(store, version):
        listed = (line.labels.names, label_names(store, line.labels).present.names)
        labels, task = _order_of(manifest, listed, version)
        if task:
            rows = manifest.select(ROWS_SCHEMA.names)
            assembly = Assembly(version, task, labels, rows, {}, [], 0)
            with suppress(KeyMissing):
                store.set_aside(f"{prefix}card.json")
            write_dataset(store, assembly, manifest.select(SHARDS_SCHEMA.names), line.split)
            return "written again from the manifest"
    view = labelled_view(store, line.labels)
    try:
        card = read_card(store, version)
        schema = LabelSchema(task=card["task"], names=tuple(card["labels"]))
    except (DamagedObject, KeyMissing):
        schema = view.schema
    images = usable_images(newest_rows(images_table(store).read()))
    groups = current_groups(store)
    known = images.filter(pc.is_in(images["sha256"], value_set=groups["sha256"]))
    assembly = assemble(known, view, groups, schema)
    if assembly.version != version:
        return ""
    for name in ("manifest.parquet", "card.json"):
        with suppress(KeyMissing):
            store.set_aside(f"{prefix}{name}")
    placed = write_shards(store, assembly, progress=lambda _: None)
    generation = generation_number(store)
    write_dataset(store, assembly, placed, line.split, generation=generation)
    return "written again from the tables"


def _readable_manifest(store: ObjectStore, version: str) -> pa.Table | None:
    """Read the manifest without the card that would verify it; ``None`` if it cannot be read."""
    with suppress(DamagedObject, KeyMissing):
        return read_rows(store, f"{dataset_prefix(version)}manifest.parquet", MANIFEST_SCHEMA)
    return None


def _order_of(
    rows: pa.Table, listed: Sequence[tuple[str, ...]], version: str
) -> tuple[tuple[str, ...], str]:
    """Find the order of labels and the task under which ``rows`` have this version.

    Args:
        rows: of a manifest.
        listed: orders to try, from the settings.
        version: the version to find.

    Returns:
        The labels and the task; ((), "") if there are none.
    """
    named = tuple(sorted(set(pc.list_flatten(rows["labels"]).to_pylist())))
    content = dataset_version(rows)
    for labels in (*listed, named):
        for task in get_args(Task):
            if version_of(content, task, labels) == version:
                return tuple(labels), str(task)
    return (), ""
