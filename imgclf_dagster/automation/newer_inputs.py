"""Automation conditions that compare an asset's newest materialization with its inputs.

A condition that only watches for changes loses one that comes while the asset's own run is in
progress: the end of that run clears it. These conditions look at what the run was made from.
"""

from collections.abc import Mapping

import dagster as dg
from dagster import AutomationCondition
from dagster._core.definitions.events import AssetKeyPartitionKey
from pydantic import BaseModel, ValidationError

DATA_VERSION = "dagster/data_version"
INPUT_VERSION = "dagster/input_data_version/"
INPUT_EVENT = "dagster/input_event_pointer/"
"""Tags that Dagster puts on a materialization. What it says of the inputs it looks up when the step
starts, before the asset reads them: an asset may hold something newer, never something older."""

LOOKED_THROUGH = 1000
"""Materializations of one input between two evaluations; of more, one is taken to be a change."""

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
        """None at the first evaluation; what another version wrote is forgotten."""
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
        """Watch ``inputs``; none named: all the asset depends on."""
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
        """True or false of the (unpartitioned) asset."""
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
        """Newest event of each input that ``own`` was made from; 0: none of those that count."""
        tags = own.event_log_entry.tags or {}
        found = {}
        for key, newest in inputs.items():
            name = key.to_user_string()
            if (event := tags.get(INPUT_EVENT + name)) is not None:
                found[name] = int(event) if event.isdecimal() else 0
            elif (version := tags.get(INPUT_VERSION + name)) is not None:
                found[name] = newest.storage_id if _version(newest) == version else 0
            else:  # reported by hand: it counts as made from what was there
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
    """The newest data set is another than the newest model was trained on.

    The model says which one that was, which is more exact than Dagster's tags: a person may have
    named an older one, which a newer data set, and nothing else, supersedes.
    """

    def made_from(self, own: dg.EventLogRecord, inputs: Records) -> dict[str, int]:
        """As the model says, unless its data set was named."""
        found = super().made_from(own, inputs)
        said = _metadata(own)
        dataset = inputs.get(dg.AssetKey("dataset"))
        newest = _metadata(dataset).get("dataset_version") if dataset else None
        if dataset and newest and said.get("dataset_version") and not said.get("dataset_named"):
            is_used = newest == said["dataset_version"]
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
        """True of the partitions whose approval waits."""
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
    """The newest materialization of each key that has one, as of the beginning of the evaluation."""
    records = context.asset_graph_view.get_inner_queryer_for_back_compat()  # has fetched them all
    found = {}
    for key in keys:
        record = records.get_asset_record(key)
        if record is not None and record.asset_entry.last_materialization_record is not None:
            found[key] = record.asset_entry.last_materialization_record
    return found


def _use_up(instance: dg.DagsterInstance, inputs: Records, used: dict[str, int]) -> bool:
    """Move ``used`` on over events that changed nothing; whether all inputs are used then."""
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

    All of them are looked at: an input that changed and changed back may have been read between.

    Args:
        key: an asset.
        newest: its newest materialization.
        event: storage id; None: there was no materialization.
    """
    if event is None or newest.storage_id < event:  # wiped since
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
    """The newest event of input ``used`` that the newest materialization of a partition has seen."""
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


def _metadata(record: dg.EventLogRecord) -> Mapping[str, object]:
    event = record.event_log_entry.asset_materialization
    return {name: item.value for name, item in event.metadata.items()} if event else {}
