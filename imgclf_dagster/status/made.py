"""The newest materializations, as far as their records can be read."""

from typing import TypeVar

import dagster as dg

from assets.records.materializations import MaterializationRecord, newest_materialization
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore

Record = TypeVar("Record", bound=MaterializationRecord)


def last_made(
    instance: dg.DagsterInstance, store: ObjectStore, kind: type[Record]
) -> Record | None:
    """Read the record of an asset's newest materialization.

    Args:
        instance: of Dagster.
        store: with the records.
        kind: the asset's kind of record.

    Returns:
        The record; ``None`` without one, or if it is damaged.
    """
    try:
        return newest_materialization(instance, store, kind)
    except DamagedObject:  # `imgclf doctor --store` names it
        return None
