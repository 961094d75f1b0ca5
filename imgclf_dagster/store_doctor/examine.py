"""Check every object of the store, several at once and with bounded memory."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import labels_table
from assets.annotations.label_studio_refusals import refusals_table
from assets.dataset.repair import short_shards
from assets.dataset.shards import shards_table
from assets.dataset.splits.fingerprints import fingerprints_table
from assets.dataset.splits.given_splits import given_table
from assets.dataset.splits.splitting import groups_table
from assets.dataset.versions import DATASETS, read_dataset_manifest
from assets.ingestion.image_index import images_table
from assets.model.digest import actual_digest
from assets.model.feature_store import stored_features, stored_probabilities
from imgclf_dagster.store_doctor.kinds import Known, Look, check_object
from object_store.contents.damage import OVERTAKEN, DamagedObject
from object_store.contents.numbered import newest_key
from object_store.contents.tables import Table
from object_store.contents.vectors import Vectors
from object_store.errors import KeyMissing, ObjectRefused, StoreError
from object_store.rows import ObjectInfo
from object_store.store import DAMAGED, ObjectStore
from object_store.transfer import at_once, workers
from resources.compute.outputs import read_job
from serving.deployments import STAGES, RecordError, parse_record, records_prefix

NUMBERED = re.compile(
    r"(checks|endpoints|splits/dealt)/|models/[^/]+/evaluations/|datasets/[^/]+/sources/"
)
"""Keys of records of which the newest counts."""

Progress = Callable[[int, int], None]
"""Called with the number of objects checked and of all objects."""


@dataclass(frozen=True)
class Trouble:
    """A damaged object.

    Attributes:
        key: its key, or the path of a file in the home.
        flaw: what is wrong with it.
        remedy: what a person can do.
    """

    key: str
    flaw: str
    remedy: str


def examine_store(
    store: ObjectStore, on_progress: Progress = lambda done, total: None
) -> list[Trouble]:
    """Read every object to its end, and return the damaged ones, sorted by key.

    Args:
        store: the store.
        on_progress: called with the number of objects checked and of all objects.

    Raises:
        StoreError: the store does not answer.
    """
    store.require()
    found: dict[str, Trouble] = {}
    for damage in _of_tables(store):
        found.setdefault(damage.key, _trouble(store, damage))
    look = Look(store, _known_images(store), _sums(store))

    def check(info: ObjectInfo) -> DamagedObject | StoreError | None:
        try:
            check_object(look, info)
        except KeyMissing:
            return None  # deleted in the meantime
        except (DamagedObject, ObjectRefused) as error:
            return error
        return None

    listed = [info for info in store.list("") if not info.key.startswith(DAMAGED)]
    # A bucket is read with many requests at once; the weight bounds the memory they use.
    threads = min(workers(store), 16)
    for done, (info, error) in enumerate(
        zip(listed, at_once(check, listed, threads=threads, weigh=_weight), strict=True), start=1
    ):
        if isinstance(error, DamagedObject):
            found.setdefault(error.key, _trouble(store, error))
        elif error is not None:
            found.setdefault(info.key, Trouble(info.key, str(error), "see the reason"))
        on_progress(done, len(listed))
    for damage in (*_of_data_sets(store, listed), *_of_what_serves(store)):
        found.setdefault(damage.key, _trouble(store, damage))
    return sorted(found.values(), key=lambda trouble: trouble.key)


def _weight(info: ObjectInfo) -> int:
    return min(info.size, 64 * 2**20)


def _trouble(store: ObjectStore, damage: DamagedObject) -> Trouble:
    """Describe a damaged object; of a record that a newer one replaced, the remedy is shorter."""
    remedy = damage.remedy
    if NUMBERED.match(damage.key):
        newest = newest_key(store, damage.key.rpartition("/")[0])
        remedy = remedy if newest in (None, damage.key) else OVERTAKEN
    return Trouble(damage.key, damage.flaw, remedy)


def tables(store: ObjectStore) -> list[Table | Vectors]:
    """Return all tables of the store, and all vectors."""
    known = {
        "images": images_table,
        "labels": labels_table,
        "groups": groups_table,
        "fingerprints": fingerprints_table,
        "shards": shards_table,
        "refusals": refusals_table,
    }
    found: list[Table | Vectors] = [
        known[name](store) for name in _folders(store, "tables") if name in known
    ]
    found.append(given_table(store))
    names = [name for name in _folders(store, "embeddings") if name != "pretrained"]
    found += [stored_features(store, name) for name in names]
    return found + [stored_probabilities(store, name) for name in _folders(store, "predictions")]


def _folders(store: ObjectStore, prefix: str) -> list[str]:
    keys = (info.key.split("/") for info in store.list(prefix))
    return sorted({parts[1] for parts in keys if len(parts) > 2})


def _of_tables(store: ObjectStore) -> Iterator[DamagedObject]:
    for table in tables(store):
        yield from table.flaws()


def _known_images(store: ObjectStore) -> dict[str, Known]:
    """Return the last readable image of each key, without deleted ones."""
    rows = images_table(store, on_damage=lambda text: None).read(
        ["key", "etag", "sha256", "status"]
    )
    known: dict[str, Known] = {}
    for row in rows.filter(
        pc.is_in(rows["status"], value_set=pa.array(["ok", "deleted"]))
    ).to_pylist():
        if row["status"] == "deleted":
            known.pop(row["key"], None)
        else:
            known[row["key"]] = Known(row["sha256"], row["etag"])
    return known


def _sums(store: ObjectStore) -> dict[str, str]:
    """Return the sha256 (hex) of outputs that the records of jobs have, by key."""
    sums: dict[str, str] = {}
    for name in _folders(store, "models"):
        try:
            record = read_job(store, name)
        except DamagedObject:
            continue  # reported when the record itself is checked
        sums |= (record or {}).get("sha256", {})
    return sums


def _of_what_serves(store: ObjectStore) -> Iterator[DamagedObject]:
    """Yield the newest deployment records whose model is missing or has another digest."""
    for stage in STAGES:
        newest = store.newest(records_prefix(stage))
        try:
            if newest is None:
                continue
            record = parse_record(store.get(newest.key), newest.key)
            digest = actual_digest(store, record.model_key)
        except (RecordError, DamagedObject):
            continue  # reported when the object itself was checked
        except KeyMissing:
            yield DamagedObject(
                record.model_key, f"it is missing, and {stage} serves it", store.url
            )
            continue
        if digest != record.digest:
            flaw = f"{record.model_key} has digest {digest[:12]}, not {record.digest[:12]}"
            yield DamagedObject(newest.key, flaw, store.url)


def _of_data_sets(store: ObjectStore, listed: list[ObjectInfo]) -> Iterator[DamagedObject]:
    """Yield the missing or too short shards of data sets."""
    for info in listed:
        if not info.key.startswith(DATASETS) or not info.key.endswith("/manifest.parquet"):
            continue
        try:
            manifest = read_dataset_manifest(store, info.key.split("/")[1])
        except (DamagedObject, KeyMissing):
            continue
        for shard, flaw in short_shards(store, manifest).items():
            yield DamagedObject(f"{DATASETS}{shard}", flaw, store.url)
