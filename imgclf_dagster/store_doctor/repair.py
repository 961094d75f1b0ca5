"""Repair objects that the store itself can rebuild; others are left as they are and reported.

A damaged object is moved to ``damaged/`` only once its replacement is known to be right. So a
repair can be interrupted at any time and repeated.
"""

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import index_snapshots, labels_table
from assets.dataset.repair import (
    manifests,
    manifests_of_generation,
    mend_places,
    rebuild_shard,
    restore_version,
)
from assets.dataset.shards import shards_table
from assets.dataset.splits.fingerprints import fingerprints_table
from assets.dataset.splits.generations import DEALT, generation_number
from assets.dataset.splits.lost_generation import lost_generation
from assets.dataset.splits.splitting import groups_table, update_groups
from assets.dataset.versions import DATASETS
from assets.ingestion.image_index import (
    RAW,
    diff_listing,
    images_table,
    index_objects,
    newest_rows,
    usable_images,
)
from assets.line import Line
from assets.model.feature_store import stored_features, stored_probabilities
from imgclf_dagster.store_doctor.examine import Trouble
from imgclf_dagster.store_doctor.job_record import is_training, training_record
from labelling.label_studio.ledger import label_studio_key
from labelling.labels.events import parse_event, to_json
from labelling.labels.snapshots import ingested_key, parse_snapshot
from labelling.labels.table import snapshot_of
from labelling.report import words
from object_store.contents.numbered import newest_key
from object_store.errors import KeyMissing, StoreError
from object_store.rows import MARKER, UNFINISHED
from object_store.store import DAMAGED, STALE_WRITE_S, ObjectStore
from resources.compute.outputs import record_key
from serving.deployments import STAGES, records_prefix
from training.groups.groups import current_rows


@dataclass(frozen=True)
class Bench:
    """Everything that a repair uses.

    Attributes:
        store: the store to repair.
        line: the user's settings, by which tables and data sets are made.
    """

    store: ObjectStore
    line: Line


Repair = Callable[[Bench, Trouble], str]
"""Repairs one object; returns how, or "" if it cannot. May raise StoreError."""


def repair_all(bench: Bench, troubles: list[Trouble]) -> dict[str, str]:
    """Repair what can be repaired and move aside unfinished files of killed writers.

    Tables come first, then shards and images, which are rebuilt from one another, then the rest.

    Args:
        bench: what repairs need.
        troubles: the damaged objects.

    Returns:
        What was done, by key.
    """
    done: dict[str, str] = {}
    for pattern, mend in _REPAIRS:
        for trouble in troubles:
            if trouble.key in done or not re.match(pattern, trouble.key):
                continue
            try:
                if how := mend(bench, trouble):
                    done[trouble.key] = how
            except StoreError:  # not repaired: the remedy of the finding remains
                continue
    return done | _leftovers(bench.store)


def _leftovers(store: ObjectStore) -> dict[str, str]:
    """Move unfinished files of killed writers out of ``raw/``; return what was done, by path."""
    store.sweep()
    root, done = store.root, dict[str, str]()
    if root is None:
        return done
    for path in sorted((root / RAW).rglob("*#*")):
        if UNFINISHED.search(path.name) and path.is_file() and _is_old(path):
            target = root / DAMAGED / path.relative_to(root).as_posix().replace("#", "~")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            done[path.relative_to(root).as_posix()] = f"moved to {target.relative_to(root)}"
    return done


def _is_old(path: Path) -> bool:
    return path.stat().st_mtime < time.time() - STALE_WRITE_S


# --- tables --------------------------------------------------------------------------------


def _images_table(bench: Bench, trouble: Trouble) -> str:
    store, policy = bench.store, bench.line.ingestion
    table = images_table(store, on_damage=_quiet)
    diff = diff_listing(store.list_table(RAW), table.read(), again=True)
    index_objects(
        store,
        table,
        diff,
        max_pixels=policy.max_pixels,
        max_bytes=int(policy.max_file_mb * 1e6),
    )
    return f"{words.count(diff.new.num_rows, 'image was', 'images were')} indexed again"


def _labels_table(bench: Bench, trouble: Trouble) -> str:
    count = index_snapshots(bench.store, labels_table(bench.store, on_damage=_quiet))
    return f"{count} annotation snapshots were read again"


def _groups_table(bench: Bench, trouble: Trouble) -> str:
    """Rebuild the table of groups and splits.

    Images of data sets keep their splits; others are assigned by the same rules as before.
    """
    # The split of an image must never change.
    store = bench.store
    table = groups_table(store, on_damage=_quiet)
    number = generation_number(store)
    known = current_rows(table.read(), number)
    images = usable_images(newest_rows(images_table(store).read()))
    hashes = dict(zip(images["sha256"].to_pylist(), images["phash"].to_pylist(), strict=True))
    there = set(known.filter(pc.not_equal(known["split"], ""))["sha256"].to_pylist())
    rows = []
    for manifest in manifests_of_generation(store, number):
        for row in manifest.select(["sha256", "group_id", "split"]).to_pylist():
            if row["sha256"] not in there and row["sha256"] in hashes:
                there.add(row["sha256"])
                known_as = {"phash": hashes[row["sha256"]], "reason": "", "generation": number}
                rows.append(row | known_as)
    if rows:
        table.append(pa.Table.from_pylist(rows, schema=table.schema))
    table.compact()
    update_groups(store, images, bench.line.split)
    return f"the splits of {words.count(len(rows), 'image')} are from the data sets; new ones are dealt"


def _generation(bench: Bench, trouble: Trouble) -> str:
    if newest_key(bench.store, DEALT) != trouble.key:
        return _superseded(bench, trouble)
    found = lost_generation(bench.store, bench.line.split)
    if found is None:
        return ""
    replace(bench.store, trouble.key, found.model_dump_json(indent=1).encode())
    return f"written again as dealing {found.generation} ({found.reason})"


def _fingerprints_table(bench: Bench, trouble: Trouble) -> str:
    fingerprints_table(bench.store, _quiet).mend()
    return "moved aside; they are computed again when they are needed"


def _places(bench: Bench, trouble: Trouble) -> str:
    count = mend_places(bench.store, _quiet)
    return f"the places of {words.count(count, 'image')} are from the data sets; others are packed again"


def _features(bench: Bench, trouble: Trouble) -> str:
    stored_features(bench.store, trouble.key.split("/")[1]).mend(_quiet, whole=True)
    return "moved aside; `imgclf run` looks at its images again"


def _predictions(bench: Bench, trouble: Trouble) -> str:
    stored_probabilities(bench.store, trouble.key.split("/")[1]).mend(_quiet, whole=True)
    return "moved aside; `imgclf run` asks the model about its images again"


# --- images, labels, data sets -------------------------------------------------------------


def _shard(bench: Bench, trouble: Trouble) -> str:
    shard = trouble.key.removeprefix(DATASETS)
    rebuild_shard(bench.store, _members(bench.store, shard), shard, trouble.flaw)
    return "built again from raw/"


def _image(bench: Bench, trouble: Trouble) -> str:
    store = bench.store
    rows = images_table(store).read(["key", "sha256", "status"])
    good = pc.and_(pc.equal(rows["key"], trouble.key), pc.equal(rows["status"], "ok"))
    shas = set(rows.filter(good)["sha256"].to_pylist())
    places = shards_table(store).read().to_pylist()
    for place in (row for row in places if row["sha256"] in shas):
        try:
            data = store.get_range(f"{DATASETS}{place['shard']}", place["offset"], place["length"])
        except StoreError:
            continue
        if hashlib.sha256(data).hexdigest() == place["sha256"]:
            replace(store, trouble.key, data)
            return f"restored from {DATASETS}{place['shard']}"
    return ""


def _snapshot(bench: Bench, trouble: Trouble) -> str:
    rows = labels_table(bench.store).read()
    rows = rows.filter(pc.equal(rows["snapshot_key"], trouble.key))
    for row in rows.filter(pc.not_equal(rows["sha256"], "")).to_pylist():
        snapshot = snapshot_of(row)
        if trouble.key in (ingested_key(snapshot), label_studio_key(snapshot)):
            data = snapshot.to_json()
            parse_snapshot(data, trouble.key)
            replace(bench.store, trouble.key, data)
            return "written again from the label table (without its note)"
    return ""


def _label_event(bench: Bench, trouble: Trouble) -> str:
    rows = labels_table(bench.store).read(["snapshot_key", "event"])
    rows = rows.filter(pc.equal(rows["snapshot_key"], trouble.key)).drop_null()
    for row in rows.slice(0, 1).to_pylist():
        replace(bench.store, trouble.key, to_json(parse_event(row["event"], trouble.key)))
        return "written again from the label table"
    return ""


def _version(bench: Bench, trouble: Trouble) -> str:
    version = trouble.key.split("/")[1]
    return restore_version(bench.store, bench.line, version)


# --- the rest ------------------------------------------------------------------------------


def _job_again(bench: Bench, trouble: Trouble) -> str:
    """Rebuild a training job's record; move a processing job's record and damaged file aside.

    Without a record, the next run repeats the processing job.
    """
    job = trouble.key.split("/")[1]
    store = bench.store
    if is_training(store, trouble.key):
        replace(store, trouble.key, training_record(store, job))
        return "written again from the job's outputs and messages"
    if any("/output/" in info.key for info in store.list(f"models/{job}")):
        return ""  # a training job, whose model may serve
    moved = []
    for key in (record_key(job), trouble.key):
        with suppress(KeyMissing):
            moved.append(store.set_aside(key))
    return f"moved to {', '.join(moved)}; `imgclf run` does the job again" if moved else ""


def _training_again(bench: Bench, trouble: Trouble) -> str:
    """Move aside a training job whose model no stage serves, so that the next run trains it again."""
    # A different model under the same name has another digest, and so no approval.
    store, job = bench.store, trouble.key.split("/")[1]
    for stage in STAGES:
        newest = store.newest(records_prefix(stage))
        if newest is not None and job in newest.key:
            return ""
    moved = []
    with suppress(KeyMissing):
        moved.append(store.set_aside(record_key(job)))  # first: it is what makes the job complete
    moved += [store.set_aside(info.key) for info in store.list(f"models/{job}/output")]
    return f"moved to {', '.join(moved)}; `imgclf run` trains it again" if moved else ""


def _aside(bench: Bench, trouble: Trouble) -> str:
    try:
        return f"moved to {bench.store.set_aside(trouble.key)}"
    except KeyMissing:
        return "it is gone"


def _superseded(bench: Bench, trouble: Trouble) -> str:
    """Move aside a decision's record if a newer one exists; else a person has to decide again."""
    folder = trouble.key.rpartition("/")[0]
    newest = newest_key(bench.store, folder)
    if newest is None or newest == trouble.key:
        return ""
    return f"moved to {bench.store.set_aside(trouble.key)}: {newest} is newer"


def _marker(bench: Bench, trouble: Trouble) -> str:
    bench.store.copy_aside(MARKER)
    bench.store.delete(MARKER)
    bench.store.ensure()
    return "written again"


_REPAIRS: tuple[tuple[str, Repair], ...] = (
    (re.escape(MARKER), _marker),
    (r"tables/images/", _images_table),
    (r"tables/labels/", _labels_table),
    (r"annotations/events/", _label_event),
    (r"annotations/", _snapshot),
    (r"datasets/[^/]+/(manifest\.parquet|card\.json)$", _version),
    (r"tables/fingerprints/", _fingerprints_table),
    (r"splits/dealt/", _generation),
    (r"tables/groups/", _groups_table),
    (r"datasets/[^/]+/(manifest\.parquet|card\.json)$", _version),
    (r"tables/shards/", _places),
    (r"raw/", _image),
    (r"datasets/shards/", _shard),
    (r"raw/", _image),
    (r"embeddings/pretrained/", _aside),
    (r"embeddings/", _features),
    (r"predictions/[^/]+/model-", _aside),
    (r"predictions/", _predictions),
    (r"datasets/[^/]+/contact_sheets/", _aside),
    (r"models/[^/]+/(processing/|inputs/|job\.json$)", _job_again),
    (r"models/[^/]+/output/", _training_again),
    (r"checks/|endpoints/|models/[^/]+/evaluations/|datasets/[^/]+/sources/", _superseded),
    (
        r"(materializations|inspections|queue|reports|arrivals|label-arrivals|pipes|captures)/",
        _aside,
    ),
)
"""Pattern of keys and repair, in the order of repairing; a key that matches none needs a person.
Kinds that are rebuilt from one another are tried twice: shards from images, images from shards."""


def replace(store: ObjectStore, key: str, data: bytes) -> None:
    """Move a damaged object aside and create another in its place.

    Args:
        store: the store.
        key: key of the object; it may be missing.
        data: the new bytes.
    """
    with suppress(KeyMissing):
        store.set_aside(key)
    store.create(key, data)


def _members(store: ObjectStore, shard: str) -> pa.Table:
    """Return the rows of a shard's images: sha256, shard, offset (bytes) and key under ``raw/``."""
    images = newest_rows(images_table(store).read(["key", "sha256", "status"]))
    images = images.filter(pc.equal(images["status"], "ok"))
    keys = dict(zip(images["sha256"].to_pylist(), images["key"].to_pylist(), strict=True))
    rows = {}
    for table in (shards_table(store).read(), *manifests(store)):
        for row in table.filter(pc.equal(table["shard"], shard)).to_pylist():
            key = keys.get(row["sha256"]) or row.get("raw_key", "")
            rows[row["offset"]] = {
                "sha256": row["sha256"],
                "shard": shard,
                "offset": row["offset"],
                "raw_key": key,
            }
    return pa.Table.from_pylist(list(rows.values()), schema=_MEMBERS)


_MEMBERS = pa.schema(
    [
        ("sha256", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("raw_key", pa.string()),
    ]
)


def _quiet(_: str) -> None:
    """Ignore a report of damage; the doctor has printed it."""
