"""Records of materializations: bound to the run that Dagster names, and read from older homes, too."""

import json
from typing import Any

import dagster as dg
import pytest

from assets.records.all_records import RECORDS
from assets.records.dataset import DatasetRecord
from assets.records.embeddings import EmbeddingsRecord
from assets.records.labelling_queue import LabellingQueueRecord
from assets.records.materialization_record import MATERIALIZATIONS
from assets.records.materializations import (
    materialization_of,
    newest_materialization,
    record_materialization,
    require_materialization,
)
from assets.records.release_approval import ReleaseApprovalRecord
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit


@pytest.fixture
def store() -> ObjectStore:
    store = ObjectStore(url="memory:///")
    store.ensure()
    return store


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def made(
    instance: dg.DagsterInstance,
    store: ObjectStore,
    *versions: str,
    fails: bool = False,
    metadata: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """A run of ``dataset`` that records ``versions``, one after another, and ends or ``fails``."""

    @dg.asset
    def dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        for version in versions:
            record_materialization(context, store, DatasetRecord(dataset_version=version))
        if fails:
            raise dg.Failure("killed")
        return dg.MaterializeResult(metadata=metadata)

    return dg.materialize([dataset], instance=instance, raise_on_error=not fails)


def version(instance: dg.DagsterInstance, store: ObjectStore) -> str | None:
    found = newest_materialization(instance, store, DatasetRecord)
    return found.dataset_version if found else None


def test_the_newest_materialization_counts(instance: dg.DagsterInstance, store: ObjectStore):
    assert version(instance, store) is None
    made(instance, store, "d1")
    assert version(instance, store) == "d1"
    made(instance, store, "d2", "d3")  # a step that was tried twice
    assert version(instance, store) == "d3"


def test_a_record_without_its_materialization_is_not_read(
    instance: dg.DagsterInstance, store: ObjectStore
):
    made(instance, store, "d1")
    made(instance, store, "d2", fails=True)
    assert len(store.list(f"{MATERIALIZATIONS}dataset")) == 2
    assert version(instance, store) == "d1"


def test_metadata_do_not_outweigh_the_record(instance: dg.DagsterInstance, store: ObjectStore):
    made(instance, store, "d1", metadata={"dataset_version": "other"})
    assert version(instance, store) == "d1"


def test_what_was_never_made_is_required_in_vain(instance: dg.DagsterInstance, store: ObjectStore):
    with pytest.raises(dg.Failure, match="dataset has not been materialized yet"):
        require_materialization(instance, store, DatasetRecord)


def test_a_partition_has_its_own_record(instance: dg.DagsterInstance, store: ObjectStore):
    partitions = dg.StaticPartitionsDefinition(["train-a", "train-b"])

    @dg.asset(partitions_def=partitions)
    def release_approval(context: dg.AssetExecutionContext) -> None:
        approval = ReleaseApprovalRecord(digest=context.partition_key, approved_at="now")
        record_materialization(context, store, approval)

    for partition in ("train-a", "train-b"):
        dg.materialize([release_approval], instance=instance, partition_key=partition)
        found = newest_materialization(instance, store, ReleaseApprovalRecord, partition=partition)
        assert found is not None
        assert found.digest == partition
    first = newest_materialization(instance, store, ReleaseApprovalRecord, partition="train-a")
    assert first is not None
    assert first.digest == "train-a"


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        (b"", "it is empty"),
        (b'{"schema_version": 1}', "dataset_version"),
        (b'{"schema_version": 2, "dataset_version": "d2"}', "another version of imgclf"),
        (b'{"schema_version": 0, "dataset_version": "d2"}', "another version of imgclf"),
    ],
)
def test_a_record_that_cannot_be_read_is_never_replaced_by_another(
    instance: dg.DagsterInstance, store: ObjectStore, data: bytes, flaw: str
):
    made(instance, store, "d1")
    made(instance, store, "d2", metadata={"dataset_version": "d2"})
    event = instance.get_latest_materialization_event(dg.AssetKey("dataset"))
    assert event is not None
    info = store.head(f"{MATERIALIZATIONS}dataset/{event.run_id}.json")
    store.delete(info.key)
    store.create(info.key, data)
    with pytest.raises(DamagedObject, match=flaw) as caught:
        newest_materialization(instance, store, DatasetRecord)
    assert caught.value.key == info.key
    assert "materialize its asset again" in caught.value.remedy


def test_a_field_of_newer_code_is_passed_over(instance: dg.DagsterInstance, store: ObjectStore):
    made(instance, store, "d1")
    (info,) = store.list(f"{MATERIALIZATIONS}dataset")
    known = json.loads(store.get(info.key))
    store.delete(info.key)
    store.create(info.key, json.dumps({**known, "mood": "good"}).encode())
    assert version(instance, store) == "d1"


# --- homes of older code ----------------------------------------------------------------------


def test_what_older_code_kept_in_metadata_is_read(instance: dg.DagsterInstance, store: ObjectStore):
    text = {
        "dataset_version": "d1",
        "images": 12,
        "classes": 2,
        "retraining": dg.MetadataValue.text("due: nothing was trained yet"),
        "retrain_at": dg.MetadataValue.timestamp(1_700_000_000.0),
        "label_rows": 40,
        "counts": dg.MetadataValue.md("| a | b |"),
    }
    made(instance, store, metadata=text)  # a run that has no record
    assert newest_materialization(instance, store, DatasetRecord) == DatasetRecord(
        dataset_version="d1",
        images=12,
        classes=2,
        retraining="due: nothing was trained yet",
        retrain_at=1_700_000_000.0,
        label_rows=40,
    )
    made(instance, store, "d2")
    assert version(instance, store) == "d2"


def reported(asset: str, metadata: dict[str, Any]) -> dg.EventLogEntry:
    instance = dg.DagsterInstance.ephemeral()
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata=metadata))
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    return event


FORMER = {
    "raw_images": {
        "content_version": "c",
        "table_version": "t",
        "images": 3,
        "objects": 4,
        "rejected": 1,
    },
    "annotations": {"content_version": "c", "schema_version": "s", "snapshots": 7},
    "dataset": {"dataset_version": "d"},
    "trained_model": {
        "model_version": "train-1",
        "dataset_version": "d",
        "dataset_named": True,
        "digest": "0" * 64,
        "model": "models/train-1/output/model.tar.gz",
    },
    "evaluation_report": {
        "model_version": "train-1",
        "digest": "0" * 64,
        "job": "eval-1",
        "no_champion": "none yet",
        "accuracy": 0.5,
    },
    "embeddings": {"backbone": "net", "images": 3},
    "labelling_queue": {
        "open": 3,
        "left to label": 0,
        "wanted": 9,
        "corrections": 2,
        "project": dg.MetadataValue.url("http://host/projects/1/data"),
        "project made": "2026-01-01T00:00:00+00:00",
        "tasks": 12,
    },
    "release_approval": {"digest": "0" * 64, "decision": 3, "approved_at": "2026-01-01 00:00:00"},
}
"""Metadata as version 884d3c5 wrote it."""


@pytest.mark.parametrize("asset", FORMER)
def test_every_record_is_known_by_the_metadata_of_older_code(store: ObjectStore, asset: str):
    kind = RECORDS[asset]
    found = materialization_of(store, reported(asset, FORMER[asset]), kind)
    assert found is not None
    missing = kind.model_fields.keys() - found.model_fields_set - {"schema_version"}
    new = {
        "labelling_queue": {*kind.model_fields} - {"open", "left", "wanted", "corrections"}
        - {"project", "project_made", "tasks", "schema_version"},
        "dataset": {"images", "classes", "label_rows", "retraining", "retrain_at"},
        "trained_model": {"epochs_too_few", "recipe_asked"},
    }  # fmt: skip
    assert missing == new.get(asset, set())
    assert RECORDS.keys() == FORMER.keys() | {"challenger_model", "hyperparameters"}


def test_former_metadata_mean_what_they_meant(store: ObjectStore):
    queue = materialization_of(
        store, reported("labelling_queue", FORMER["labelling_queue"]), LabellingQueueRecord
    )
    assert queue is not None
    assert (queue.project, queue.tasks, queue.left) == ("http://host/projects/1/data", 12, 0)
    nothing = materialization_of(
        store, reported("embeddings", {"backbone": "none"}), EmbeddingsRecord
    )
    assert nothing == EmbeddingsRecord(backbone="")


def test_an_event_that_says_too_little_counts_as_none(store: ObjectStore):
    assert materialization_of(store, reported("dataset", {"images": 3}), DatasetRecord) is None
    assert materialization_of(store, reported("dataset", {}), DatasetRecord) is None
