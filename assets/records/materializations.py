"""Typed records of materializations: what later steps, sensors, checks and commands decide on.

Dagster's metadata is for people. What the line itself needs of a step's result is a record in the
store, ``materializations/<asset>/[<partition>/]<run id>.json``. The reader asks Dagster which run
made the newest materialization, and reads that run's record: a run that was killed before its
materialization was recorded leaves a record that nobody reads.
"""

from contextlib import suppress
from typing import TypeVar

import dagster as dg
from pydantic import ValidationError

from assets.records.former_metadata import former_fields
from assets.records.materialization_record import MATERIALIZATIONS, MaterializationRecord
from object_store.contents.reading import read_record
from object_store.errors import KeyMissing
from object_store.store import ObjectStore

Record = TypeVar("Record", bound=MaterializationRecord)


def record_materialization(
    context: dg.AssetExecutionContext, store: ObjectStore, record: MaterializationRecord
) -> None:
    """Write the record of the materialization that the step of ``context`` is about to return.

    A further attempt of the same step replaces the record that the one before it left.
    """
    partition = context.partition_key if context.has_partition_key else None
    key = _key(record.asset, context.run.run_id, partition)
    data = record.model_dump_json(indent=1).encode()
    if not store.create(key, data):
        # Nobody reads it yet: the attempt that wrote it ended before its materialization was
        # recorded. A number in the key would cost each reader a listing.
        store.delete(key)
        store.put(key, data)


def newest_materialization(
    instance: dg.DagsterInstance,
    store: ObjectStore,
    kind: type[Record],
    *,
    partition: str | None = None,
) -> Record | None:
    """Read the record of the newest materialization of an asset; ``None`` without one.

    Args:
        instance: the Dagster instance that stores the events.
        store: object store of the project.
        kind: the record's class, which names the asset.
        partition: partition key; ``None``: the newest materialization of any partition.

    Raises:
        DamagedObject: the record cannot be read. An older one is never used in its place.
    """
    key = dg.AssetKey(kind.asset)
    if partition is None:
        event = instance.get_latest_materialization_event(key)
        return None if event is None else materialization_of(store, event, kind)
    asked = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    found = instance.fetch_materializations(asked, limit=1).records
    return materialization_of(store, found[0].event_log_entry, kind) if found else None


def require_materialization(
    instance: dg.DagsterInstance, store: ObjectStore, kind: type[Record]
) -> Record:
    """Read the record of the newest materialization of an asset.

    Args:
        instance: the Dagster instance.
        store: the object store.
        kind: the asset's class of records.

    Returns:
        The record.

    Raises:
        dagster.Failure: the asset was never materialized.
        DamagedObject: the record cannot be read.
    """
    found = newest_materialization(instance, store, kind)
    if found is None:
        raise dg.Failure(
            f"{kind.asset} has not been materialized yet; materialize it first (imgclf run does)",
            allow_retries=False,
        )
    return found


def materialization_of(
    store: ObjectStore, event: dg.EventLogEntry, kind: type[Record]
) -> Record | None:
    """Read the record of one materialization.

    Args:
        store: object store of the project.
        event: the materialization's event.
        kind: the record's class.

    Returns:
        The record; of an event that older code or a person reported, what its metadata has of it,
        or ``None`` if a field is missing there.

    Raises:
        DamagedObject: the record cannot be read.
    """
    materialization = event.asset_materialization
    if materialization is None:
        return None
    if event.run_id:  # an event that a person reported has none
        with suppress(KeyMissing):
            key = _key(kind.asset, event.run_id, materialization.partition)
            return read_record(store, key, kind)
    try:
        return kind.model_validate(former_fields(kind.asset, materialization))
    except ValidationError:
        return None


def _key(asset: str, run_id: str, partition: str | None) -> str:
    return f"{MATERIALIZATIONS}{asset}/{f'{partition}/' if partition else ''}{run_id}.json"
