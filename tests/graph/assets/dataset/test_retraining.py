"""Labels of annotators train a model when enough have come: in one run, and not before."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData

from assets.records.dataset import DatasetRecord
from assets.records.materializations import require_materialization
from imgclf_dagster.sensors import labels as sensors_labels
from labelling.label_studio.ledger import label_studio_key
from labelling.labels.snapshots import AnnotationSnapshot

pytestmark = pytest.mark.graph

TO_THE_MODEL = {"annotations", "dataset", "trained_model", "evaluation_report"}


class Line:
    """A line whose first model is trained, and an annotator."""

    def __init__(self, world: Any, photo: Callable[..., bytes]) -> None:
        self.world = world
        world.add_classes(40, labels=("red", "green"))
        self.images = [
            world.add(f"new/{number:02d}.png", photo(1000 + number)) for number in range(12)
        ]
        done = world.run("raw_images", "annotations", "dataset")
        assert done.success, done.why
        self.first = done.metadata("dataset")
        self.trained(self.first["dataset_version"])

    def trained(self, version: str, *, named: bool = False) -> None:
        """A training on a data set, which a person ``named``, ended, as far as the records go."""
        self.world.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                "trained_model",
                metadata={
                    "dataset_version": version,
                    "dataset_named": named,
                    "model_version": "train-1",
                    "digest": "0" * 64,
                },
                tags={"dagster/data_version": version},
            )
        )

    def annotate(self, *numbers: int, label: str = "red", hours_ago: float = 0) -> None:
        for number in numbers:
            snapshot = AnnotationSnapshot(
                sha256=self.images[number], labels=(label,), annotator="label_studio:ann",
                source="label_studio", annotated_at=datetime.now(UTC) - timedelta(hours=hours_ago),
                annotation_id=str(number), unique_id=f"{number:032x}", project=1, task=number,
            )  # fmt: skip
            self.world.store.put(label_studio_key(snapshot), snapshot.to_json())

    def asked(self) -> set[str]:
        """What the sensor asks for."""
        given = {name: self.world.resource(name) for name in ("store", "line", "label_studio")}
        with dg.build_sensor_context(instance=self.world.instance, resources=given) as context:
            found = sensors_labels.annotations_change_sensor(context)
        if isinstance(found, dg.SkipReason):
            return set()
        (request,) = found.run_requests or []
        return {key.to_user_string() for key in request.asset_selection or []}

    def index(self) -> None:
        """The run that takes up the labels, and no data set after it."""
        done = self.world.run("annotations")
        assert done.success, done.why

    def newest_data_set(self) -> str:
        instance, store = self.world.instance, self.world.store
        return require_materialization(instance, store, DatasetRecord).dataset_version

    def data_set(self) -> dict[str, Any]:
        done = self.world.run("annotations", "dataset")
        assert done.success, done.why
        return done.metadata("dataset")


@pytest.fixture
def line(world: Any, photo: Callable[..., bytes]) -> Line:
    policy: dict[str, Any] = {"new_labels": 10, "share_of_class": 9.0, "max_age_h": 24.0}
    return Line(world.with_settings(retraining=policy), photo)


def test_few_labels_are_indexed_and_wait(line: Line) -> None:
    line.annotate(0, 1)
    assert line.asked() == {"annotations"}
    shown = line.data_set()
    assert shown["retraining"].startswith("2 of 10 new labels")
    assert shown["retrain_at"] > time.time() + 23 * 3600
    line.annotate(2)
    assert line.asked() == {"annotations"}


def test_the_label_that_makes_it_enough_trains_in_the_same_run(line: Line) -> None:
    line.annotate(*range(9))
    assert line.asked() == {"annotations"}
    line.data_set()
    line.annotate(9)
    assert line.asked() == TO_THE_MODEL
    shown = line.data_set()
    assert shown["retraining"].startswith("due: 10 of 10 new labels")
    line.trained(shown["dataset_version"])
    line.annotate(10)
    assert line.asked() == {"annotations"}  # counted from the new model on


def test_labels_that_no_data_set_has_followed_yet_count(line: Line) -> None:
    line.annotate(*range(6))
    assert line.asked() == {"annotations"}
    line.index()
    line.annotate(*range(6, 12))
    assert line.asked() == TO_THE_MODEL
    shown = line.data_set()
    assert shown["retraining"].startswith("due: 12 of 10 new labels")
    line.trained(shown["dataset_version"])
    line.annotate(0, label="green")
    assert line.asked() == {"annotations"}  # what was trained on counts once


def test_a_change_of_mind_before_the_data_set_counts_once(line: Line) -> None:
    line.annotate(*range(6))
    line.index()
    line.annotate(*range(6), label="green")
    assert line.asked() == {"annotations"}
    line.index()
    line.annotate(6, 7, 8)
    assert line.asked() == {"annotations"}
    line.annotate(9)
    assert line.asked() == TO_THE_MODEL


def test_labels_of_images_that_the_data_set_leaves_out_are_not_counted_again(line: Line) -> None:
    here = line.images
    line.images = [f"{number:064x}" for number in range(12)]  # of images that are gone
    line.annotate(*range(9))
    line.data_set()
    line.images = here
    line.annotate(10)
    assert line.asked() == {"annotations"}


def test_an_old_label_trains_by_its_age(line: Line) -> None:
    line.annotate(0, hours_ago=30)
    assert line.asked() == TO_THE_MODEL
    assert line.data_set()["retrain_at"] < time.time()


def test_what_an_ingest_brings_is_due_at_once(line: Line, photo: Any) -> None:
    line.world.add("more.png", photo(5000), "green")
    assert line.world.run("raw_images").success
    assert line.asked() == {"annotations"}  # the rest follows by conditions, as ever
    assert line.data_set()["retraining"].startswith("due: 1 image was")


def test_a_training_under_way_keeps_no_label_waiting(line: Line) -> None:
    line.annotate(*range(10))
    keys = {dg.AssetKey(name) for name in TO_THE_MODEL}
    running = dg.DagsterRun(
        job_name="__ASSET_JOB", status=dg.DagsterRunStatus.STARTED, asset_selection=keys
    )
    line.world.instance.add_run(running)
    assert line.asked() == set()  # it is about to look at the labels
    done = dg.DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION",
        job_name=running.job_name,
        event_specific_data=StepMaterializationData(dg.AssetMaterialization("annotations")),
    )
    line.world.instance.report_dagster_event(done, run_id=running.run_id)
    assert line.asked() == {"annotations"}  # without a second training


def test_a_data_set_under_way_without_them_is_awaited_and_one_run_trains(line: Line) -> None:
    keys = {dg.AssetKey("dataset")}
    status = dg.DagsterRunStatus.STARTED
    running = dg.DagsterRun(job_name="__ASSET_JOB", status=status, asset_selection=keys)
    line.world.instance.add_run(running)
    line.annotate(0)
    assert line.asked() == {"annotations"}  # nothing is due that would wait for it
    line.annotate(*range(1, 10))
    assert line.asked() == set()
    line.world.instance.report_run_canceled(running)
    assert line.asked() == TO_THE_MODEL


class Daemon:
    """Evaluates the automation conditions, tick by tick."""

    def __init__(self, world: Any) -> None:
        self.world, self.cursor = world, None

    def asks_for_a_model(self, *, in_hours: float = 0) -> bool:
        found = dg.evaluate_automation_conditions(
            defs=self.world.definitions,
            instance=self.world.instance,
            cursor=self.cursor,
            evaluation_time=datetime.now(UTC) + timedelta(hours=in_hours),
        )
        self.cursor = found.cursor
        return bool(found.get_requested_partitions(dg.AssetKey("trained_model")))


def test_the_condition_goes_by_what_the_data_set_says(line: Line) -> None:
    daemon = Daemon(line.world)
    daemon.asks_for_a_model()
    line.annotate(0)
    line.data_set()
    assert not daemon.asks_for_a_model()
    assert not daemon.asks_for_a_model()
    assert daemon.asks_for_a_model(in_hours=24)
    assert not daemon.asks_for_a_model(in_hours=25)  # once is enough
    line.trained(line.newest_data_set())
    assert not daemon.asks_for_a_model(in_hours=26)
    line.annotate(*range(1, 11))
    line.data_set()
    assert daemon.asks_for_a_model(in_hours=26)


def test_a_training_that_ends_after_newer_data_came_is_followed_by_another(line: Line) -> None:
    daemon = Daemon(line.world)
    daemon.asks_for_a_model()
    line.annotate(*range(10))
    older = line.data_set()["dataset_version"]
    assert daemon.asks_for_a_model()
    line.annotate(10, 11, label="green")
    line.data_set()
    assert not daemon.asks_for_a_model()  # the moment of the request swallows the change
    line.trained(older)
    assert daemon.asks_for_a_model()
    line.trained(line.newest_data_set())
    assert not daemon.asks_for_a_model()


def test_a_model_of_a_data_set_that_a_person_named_stays_until_a_newer_one_comes(
    line: Line,
) -> None:
    daemon = Daemon(line.world)
    older = line.first["dataset_version"]
    line.annotate(*range(10))
    line.trained(line.data_set()["dataset_version"])
    assert not daemon.asks_for_a_model()
    line.trained(older, named=True)
    assert not daemon.asks_for_a_model()
    assert not daemon.asks_for_a_model()
    line.annotate(*range(10), label="green")
    line.data_set()
    assert daemon.asks_for_a_model()
