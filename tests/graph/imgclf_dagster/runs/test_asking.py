"""How sensors ask for runs, as Dagster's own daemon hears it: a run key is good for one run."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from imgclf_dagster.runs import asking
from imgclf_dagster.runs.asking import ask

pytestmark = pytest.mark.graph

BROKEN = "IMGCLF_TEST_BROKEN"
"""The variable that makes runs fail: Dagster loads this file a second time."""


@dg.asset
def mended() -> None:
    if BROKEN in os.environ:
        raise dg.Failure("no capacity")


@dg.asset
def settled() -> None:
    """Whatever it finds, it is the same again."""


@dg.sensor(target=[mended], default_status=dg.DefaultSensorStatus.RUNNING)
def mending_sensor(context: dg.SensorEvaluationContext) -> asking.Tick:
    return ask(context.instance, "mended", "record-1", jobs=(), recurs=True)


@dg.sensor(target=[settled], default_status=dg.DefaultSensorStatus.RUNNING)
def settling_sensor(context: dg.SensorEvaluationContext) -> asking.Tick:
    return ask(context.instance, "settled", "state-1", jobs=())


DEFINITIONS = dg.Definitions(
    [mended, settled],
    sensors=[mending_sensor, settling_sensor],
    executor=dg.in_process_executor,
)
AT_ONCE = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
    },
}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides=AT_ONCE) as made:
        yield made


@pytest.fixture
def tick(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """One look of every sensor; what it asks for has run when it returns."""
    monkeypatch.setattr("dagster._daemon.sensor.is_under_min_interval", lambda *_: False)
    target = InProcessWorkspaceLoadTarget(
        InProcessCodeLocationOrigin(
            LoadableTargetOrigin(python_file=__file__, attribute="DEFINITIONS")
        )
    )
    log = logging.getLogger("daemon")
    with create_test_daemon_workspace_context(target, instance) as workspace:
        yield lambda: list(execute_sensor_iteration(workspace, log, None, None))


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [time.time()]
    monkeypatch.setattr(asking, "time", SimpleNamespace(time=partial(now.__getitem__, 0)))

    def pass_(seconds: float) -> None:
        now[0] = time.time() + seconds

    return pass_


def keys(instance: dg.DagsterInstance, asset: str) -> list[str]:
    selected = [
        run.tags["dagster/run_key"]
        for run in instance.get_runs()
        if dg.AssetKey(asset) in (run.asset_selection or ())
    ]
    return selected[::-1]


def test_what_recurs_is_asked_for_as_often_as_it_does(
    instance: dg.DagsterInstance, tick: Callable[[], None], wait: Callable[[float], None]
) -> None:
    for times in (1, 2, 3):
        tick()
        assert len(keys(instance, "mended")) == times
        wait(0)
        tick()
        assert len(keys(instance, "mended")) == times, "a minute apart at least"
        wait(asking.RETRY_S + 1)
    # Runs that somebody deletes are no numbers that come again.
    first = instance.get_runs(dg.RunsFilter(tags={asking.ASKED_TAG: "record-1"}))[-1]
    instance.delete_run(first.run_id)
    tick()
    found = keys(instance, "mended")
    assert len(found) == len(set(found)) == 3


def test_failures_before_a_success_count_for_nothing(
    instance: dg.DagsterInstance,
    tick: Callable[[], None],
    wait: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BROKEN, "1")
    for times, pause in ((1, 1), (2, 2), (3, 4)):
        tick()
        assert len(keys(instance, "mended")) == times
        wait(pause * asking.RETRY_S - 30)
        tick()
        assert len(keys(instance, "mended")) == times, "ever more seldom"
        wait(pause * asking.RETRY_S + 1)
    monkeypatch.delenv(BROKEN)
    tick()
    wait(asking.RETRY_S + 1)
    tick()
    assert len(keys(instance, "mended")) == 5


def test_what_does_not_recur_is_asked_for_once(
    instance: dg.DagsterInstance, tick: Callable[[], None], wait: Callable[[float], None]
) -> None:
    for _ in range(3):
        tick()
        wait(asking.RETRY_MAX_S)
    assert len(keys(instance, "settled")) == 1
