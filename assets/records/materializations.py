"""Typed records of materializations: what later steps, sensors, checks and commands decide on.

Dagster's metadata is for people. What the line itself needs of a step's result is a record in the
store, ``materializations/<asset>/[<partition>/]<run id>.json``. The reader asks Dagster which run
made the newest materialization, and reads that run's record: a run that was killed before its
materialization was recorded leaves a record that nobody reads.
"""

from contextlib import suppress
from typing import ClassVar, Self, TypeVar

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from assets.records.former_metadata import former_fields
from object_store.contents.reading import read_record
from object_store.errors import KeyMissing
from object_store.store import ObjectStore

MATERIALIZATIONS = "materializations/"


class MaterializationRecord(BaseModel):
    """What one materialization of an asset found. A subclass has the fields of its asset.

    Attributes:
        asset: name of the asset.
        newest_schema: newest version of the fields that this code can read. A field that is added needs a
            default and no new version; a changed meaning needs one.
        schema_version: version of the fields of this record.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    asset: ClassVar[str]
    newest_schema: ClassVar[int] = 1

    schema_version: int = 1

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if not 1 <= self.schema_version <= self.newest_schema:
            raise ValueError(
                f"schema version {self.schema_version} of another version of imgclf; this one reads "
                f"up to {self.newest_schema}"
            )
        return self


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
