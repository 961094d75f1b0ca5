"""Automation conditions that compare an asset's newest materialization with its inputs.

A condition that only watches for changes misses one that comes while the asset's own run is in
progress: the end of that run clears it. These conditions use the inputs that the run recorded.
"""

from collections.abc import Mapping

import dagster as dg
from dagster import AutomationCondition
from dagster._core.definitions.events import AssetKeyPartitionKey
from pydantic import BaseModel, ValidationError

from assets.records.dataset import DatasetRecord
from assets.records.materializations import materialization_of
from assets.records.trained_model import TrainedModelRecord
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore

DATA_VERSION = "dagster/data_version"
INPUT_VERSION = "dagster/input_data_version/"
INPUT_EVENT = "dagster/input_event_pointer/"
"""Tags that Dagster adds to a materialization. It records the inputs when the step starts, before the
asset reads them: the asset may have read newer inputs, but not older ones."""

LOOKED_THROUGH = 1000
"""Maximum number of an input's materializations examined; if there are more, it counts as changed."""

Records = Mapping[dg.AssetKey, dg.EventLogRecord]


class Memory(BaseModel):
    """What the condition remembers from one evaluation to the next; numbers are storage ids.

    Attributes:
        made: the asset's newest materialization.
        used: by input, the event up to which the input needs no further run; None: the asset was
            neither made nor tried.
        seen: by input, its newest materialization.
    """

    made: int | None
    used: dict[str, int] | None
    seen: dict[str, int]

    @classmethod
    def parse(cls, cursor: str | None) -> "Memory | None":
        """Parse a cursor; ``None`` without one, or if another version wrote it."""
        try:
            return cls.model_validate_json(cursor) if cursor else None
        except ValidationError:
            return None


class InputsAreNewer(AutomationCondition):
    """An input holds something else than the asset was made from, or nothing was made yet.

    An automated run counts as an attempt on the inputs as they were when it was requested: if it
    fails or is cancelled, these inputs are not asked for again, newer ones are.
    """

    def __init__(self, *inputs: str) -> None:
        """Watch the assets named by ``inputs``; without any, all inputs of the asset."""
        self.inputs = inputs

    @property
    def name(self) -> str:
        """Tells conditions with other inputs apart; Dagster keeps the memory by it."""
        return f"{type(self).__name__}({', '.join(self.inputs)})"

    @property
    def description(self) -> str:
        """For Dagster's page of the condition."""
        return f"{', '.join(self.inputs) or 'an input'} changed since the asset was made"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Return all of the candidates if an input is newer, else none. The asset is unpartitioned."""
        instance = context.asset_graph_view.instance
        found = _newest(context, [context.key, *self._keys(context)])
        own = found.pop(context.key, None)
        used = self._used(context, own, found)
        is_newer = used is None or not _use_up(instance, found, used)
        seen = {key.to_user_string(): record.storage_id for key, record in found.items()}
        memory = Memory(made=own.storage_id if own else None, used=used, seen=seen)
        subset = context.candidate_subset if is_newer else context.get_empty_subset()
        return dg.AutomationResult(context, subset, cursor=memory.model_dump_json())

    def made_from(self, own: dg.EventLogRecord, inputs: Records) -> dict[str, int]:
        """Return the storage id of each input's event that a materialization was made from.

        Args:
            own: the asset's materialization.
            inputs: newest materialization of each input.

        Returns:
            Storage ids by input; 0 if it was made from none of the known events.
        """
        tags = own.event_log_entry.tags or {}
        found = {}
        for key, newest in inputs.items():
            name = key.to_user_string()
            if (event := tags.get(INPUT_EVENT + name)) is not None:
                found[name] = int(event) if event.isdecimal() else 0
            elif (version := tags.get(INPUT_VERSION + name)) is not None:
                found[name] = newest.storage_id if _version(newest) == version else 0
            else:  # reported by hand: counts as made from the inputs of that time
                found[name] = min(own.storage_id, newest.storage_id)
        return found

    def _keys(self, context: dg.AutomationContext) -> list[dg.AssetKey]:
        parents = context.asset_graph.get(context.key).parent_keys
        return [key for key in parents if not self.inputs or key.to_user_string() in self.inputs]

    def _used(
        self, context: dg.AutomationContext, own: dg.EventLogRecord | None, inputs: Records
    ) -> dict[str, int] | None:
        memory = Memory.parse(context.cursor)
        if memory is None or memory.made != (own.storage_id if own else None):
            return self.made_from(own, inputs) if own else None
        requested = context.get_previous_requested_subset(context.key)
        is_attempt = requested is not None and not requested.is_empty
        return memory.seen if is_attempt else memory.used


class DataSetIsNewer(InputsAreNewer):
    """The newest data set differs from the one that the newest model was trained on.

    The model's record names its data set, which is more exact than Dagster's tags. If a person
    named an older data set for it, only a newer data set makes the condition true.
    """

    def __init__(self, store: ObjectStore, *inputs: str) -> None:
        """Watch the assets named by ``inputs``; the records are in ``store``."""
        super().__init__(*inputs)
        self._store = store

    def made_from(self, own: dg.EventLogRecord, inputs: Records) -> dict[str, int]:
        """Return the storage ids by input, that of ``dataset`` by the model's record.

        If a person named the data set, or a record cannot be read, Dagster's tags are used.
        """
        found = super().made_from(own, inputs)
        dataset = inputs.get(dg.AssetKey("dataset"))
        if dataset is None:
            return found
        try:
            model = materialization_of(self._store, own.event_log_entry, TrainedModelRecord)
            newest = materialization_of(self._store, dataset.event_log_entry, DatasetRecord)
        except DamagedObject:  # `imgclf doctor --store` names it
            return found
        if model and newest and not model.dataset_named:
            is_used = newest.dataset_version == model.dataset_version
            found["dataset"] = dataset.storage_id if is_used else 0
        return found


class Approvals(BaseModel):
    """What ``ApprovalIsNewer`` remembers: the newest approval it knows (storage id), and by
    partition those that wait to be carried out."""

    known: int
    waiting: dict[str, int] = {}


class ApprovalIsNewer(AutomationCondition):
    """The one input of a partitioned asset was materialized in that partition, and no run of the
    asset that started later has used it or was asked to.

    Unlike ``InputsAreNewer`` it does not look further back than the last evaluation: an approval
    that nobody carried out then must not replace what is in production today.
    """

    @property
    def description(self) -> str:
        """For Dagster's page of the condition."""
        return "an approval that no deployment has used"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Return the partitions whose approval no run has used."""
        instance, graph = context.asset_graph_view.instance, context.asset_graph_view
        (approval,) = context.asset_graph.get(context.key).parent_keys
        memory = self._remembered(context, approval)
        requested = context.get_previous_requested_subset(context.key)
        if requested is not None:
            for partition in requested.expensively_compute_partition_keys():
                memory.waiting.pop(partition, None)
        memory.waiting |= instance.get_latest_storage_id_by_partition(
            approval, dg.DagsterEventType.ASSET_MATERIALIZATION, after_cursor=memory.known
        )
        memory.known = max(memory.known, *memory.waiting.values(), 0)
        memory.waiting = {
            partition: event
            for partition, event in memory.waiting.items()
            if _used_by(instance, context.key, partition, approval) < event
        }
        waiting = {AssetKeyPartitionKey(context.key, name) for name in memory.waiting}
        subset = graph.get_asset_subset_from_asset_partitions(context.key, waiting)
        return dg.AutomationResult(
            context,
            subset.compute_intersection(context.candidate_subset),
            cursor=memory.model_dump_json(),
        )

    def _remembered(self, context: dg.AutomationContext, approval: dg.AssetKey) -> Approvals:
        if context.cursor:
            try:
                return Approvals.model_validate_json(context.cursor)
            except ValidationError:
                pass
        known = context.previous_max_storage_id
        if known is None:
            newest = _newest(context, [approval]).get(approval)
            known = newest.storage_id if newest else 0
        return Approvals(known=known)


def _newest(
    context: dg.AutomationContext, keys: list[dg.AssetKey]
) -> dict[dg.AssetKey, dg.EventLogRecord]:
    """Return the newest materialization of each key that has one, as of the evaluation's start."""
    records = context.asset_graph_view.get_inner_queryer_for_back_compat()  # has cached them
    found = {}
    for key in keys:
        record = records.get_asset_record(key)
        if record is not None and record.asset_entry.last_materialization_record is not None:
            found[key] = record.asset_entry.last_materialization_record
    return found


def _use_up(instance: dg.DagsterInstance, inputs: Records, used: dict[str, int]) -> bool:
    """Advance ``used`` over events without a change; return whether all inputs are used up."""
    is_all = True
    for key, newest in inputs.items():
        name = key.to_user_string()
        if _changed_since(instance, key, newest, used.get(name)):
            is_all = False
        else:
            used[name] = newest.storage_id
    return is_all


def _changed_since(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    newest: dg.EventLogRecord,
    event: int | None,
) -> bool:
    """Whether a materialization after ``event`` has another data version than its partition had.

    Args:
        instance: Dagster's instance.
        key: an asset.
        newest: its newest materialization.
        event: storage id; ``None`` if there was no materialization.
    """
    # All later materializations are examined: an input that changed and changed back may have been
    # read in between.
    if event is None or newest.storage_id < event:  # its materializations were wiped
        return True
    if newest.storage_id == event:
        return False
    page = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, after_storage_id=event), limit=LOOKED_THROUGH
    )
    before: dict[str | None, str | None] = {}
    for record in [newest, *page.records]:
        partition = record.partition_key
        if partition not in before:
            before[partition] = _version_at(instance, key, partition, event)
        if _version(record) is None or _version(record) != before[partition]:
            return True
    return page.has_more


def _version_at(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None, event: int
) -> str | None:
    partitions = None if partition is None else [partition]
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=partitions, before_storage_id=event + 1),
        limit=1,
    ).records
    return _version(found[0]) if found else None


def _used_by(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str, used: dg.AssetKey
) -> int:
    """Return the newest event of input ``used`` that a partition's newest materialization has used."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=[partition]), limit=1
    ).records
    if not found:
        return 0
    event = (found[0].event_log_entry.tags or {}).get(INPUT_EVENT + used.to_user_string())
    if event is None:  # reported by hand
        return found[0].storage_id
    return int(event) if event.isdecimal() else 0


def _version(record: dg.EventLogRecord) -> str | None:
    return (record.event_log_entry.tags or {}).get(DATA_VERSION)
