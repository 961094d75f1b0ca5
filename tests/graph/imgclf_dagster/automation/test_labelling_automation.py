"""When the labelling queue is brought up to date by itself, as the daemon evaluates it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

pytestmark = pytest.mark.graph

SHARE = {"raw_images": ("images_readable",), "annotations": ("labels_known",)}
START = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)


class Daemon:
    """Evaluates the conditions at times of our own; nothing is executed."""

    def __init__(self, world: Any) -> None:
        self.definitions, self.instance = world.definitions, world.instance
        self.now, self.cursor = START, None

    def later(self, seconds: float, *, beside: tuple[str, ...] = ()) -> set[str]:
        """What of the labelling is asked for, so many seconds later, and of ``beside``."""
        self.now += timedelta(seconds=seconds)
        found = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            cursor=self.cursor,
            evaluation_time=self.now,
        )
        self.cursor = found.cursor
        keys = ("embeddings", "labelling_queue", *beside)
        return {key for key in keys if found.get_num_requested(dg.AssetKey(key))}

    def happened(self, asset: str, version: str, partition: str | None = None) -> None:
        tags = {"dagster/data_version": version}
        event = dg.AssetMaterialization(asset, partition=partition, tags=tags)
        self.instance.report_runless_asset_event(event)
        for name in SHARE.get(asset, ()):
            verdict = dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset), check_name=name, passed=True, metadata={}
            )
            self.instance.report_runless_asset_event(verdict)


@pytest.fixture
def world(tmp_path: Any, empty_world: Callable[..., Any]) -> Any:
    access = {"url": "http://127.0.0.1:9", "token": "t" * 40}
    return empty_world(tmp_path / "home", label_studio=access)


@pytest.fixture
def daemon(world: Any) -> Daemon:
    return Daemon(world)


def test_without_a_label_studio_nothing_is_asked_for(
    tmp_path: Any, empty_world: Callable[..., Any]
) -> None:
    daemon = Daemon(empty_world(tmp_path / "home"))
    daemon.happened("raw_images", "1")
    daemon.happened("annotations", "1")
    assert [daemon.later(seconds) for seconds in (5, 120, 600)] == [set()] * 3


def test_images_are_looked_at_before_there_is_a_model(daemon: Daemon) -> None:
    daemon.later(0)
    daemon.happened("raw_images", "1")
    assert daemon.later(5) == set()  # at the next full minute
    assert daemon.later(120) == {"embeddings"}
    assert daemon.later(120) == set()


def ready(daemon: Daemon) -> None:
    """Images, labels and embeddings are there, and the queue stands on them."""
    daemon.later(0)
    for asset in ("raw_images", "annotations", "embeddings", "labelling_queue"):
        daemon.happened(asset, "1")
    daemon.later(5)
    daemon.later(1200)
    daemon.later(5)


def test_new_images_are_looked_at_at_once_but_not_twice_a_minute(daemon: Daemon) -> None:
    ready(daemon)  # 40 s past the minute
    daemon.happened("raw_images", "2")
    assert daemon.later(5, beside=("dataset",)) == {"dataset"}
    assert daemon.later(2, beside=("dataset",)) == {"embeddings"}
    daemon.happened("embeddings", "2")
    daemon.happened("raw_images", "3")
    for _ in range(3):
        assert "embeddings" not in daemon.later(2)
    assert "embeddings" in daemon.later(10)  # at the full minute


def test_new_images_wait_for_the_full_minute_while_the_line_works(
    daemon: Daemon, world: Any
) -> None:
    ready(daemon)  # 40 s past the minute
    run = world.instance.create_run_for_job(
        world.definitions.get_repository_def().get_implicit_global_asset_job_def(),
        asset_selection=frozenset({dg.AssetKey("trained_model")}),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert run.is_finished is False
    daemon.happened("raw_images", "2")
    assert daemon.later(5, beside=("dataset",)) == {"dataset"}
    assert daemon.later(2) == set() == daemon.later(2)
    assert "embeddings" in daemon.later(15)


def test_a_model_on_a_stage_is_asked_what_it_thinks_and_then_the_queue_follows(
    daemon: Daemon,
) -> None:
    ready(daemon)
    daemon.instance.add_dynamic_partitions("model_version", ["train-a", "train-b"])
    assert daemon.later(120) == set()
    daemon.happened("staging_endpoint", "d1", partition="train-a")
    assert daemon.later(120) == {"embeddings"}
    assert daemon.later(120) == set()
    daemon.happened("embeddings", "2")
    assert daemon.later(5) == {"labelling_queue"}  # at once
    daemon.happened("labelling_queue", "2")
    assert daemon.later(5) == set()
    daemon.happened("prod_endpoint", "d1", partition="train-a")
    assert daemon.later(120) == {"embeddings"}
    daemon.happened("embeddings", "2")  # the same model as before: nothing to do
    assert daemon.later(5) == set()


def test_labels_are_heeded_every_ten_minutes(daemon: Daemon) -> None:
    ready(daemon)
    daemon.happened("annotations", "2")
    assert daemon.later(5) == set()
    daemon.happened("annotations", "3")
    assert daemon.later(600) == {"labelling_queue"}
    daemon.happened("labelling_queue", "2")
    assert daemon.later(600) == set()


def test_what_the_line_waits_for_is_in_no_run_with_it(daemon: Daemon) -> None:
    daemon.later(0)
    daemon.happened("raw_images", "1")
    daemon.happened("annotations", "1")
    # Not the embeddings, though it is their minute.
    assert daemon.later(60, beside=("dataset",)) == {"dataset"}
    assert daemon.later(60, beside=("dataset",)) == {"embeddings", "labelling_queue"}
