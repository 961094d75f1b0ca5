"""No change of an input is lost, whenever it comes; and no failure is tried for ever."""

import os
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import assets.dataset.dataset as dataset_module
from tests.graph.imgclf_dagster.automation.test_automation import Daemon
from tests.graph.played_runs import HEEDED, INPUTS, SOURCES, Theatre

pytestmark = pytest.mark.graph

EXAMPLES = int(os.environ.get("IMGCLF_EXAMPLES", "6"))
"""Random orders of events that are played."""


@pytest.fixture(scope="module")
def definitions(
    tmp_path_factory: pytest.TempPathFactory, open_world: Callable[..., Any]
) -> dg.Definitions:
    access = {"url": "http://127.0.0.1:9", "token": "t" * 40}
    found: dg.Definitions = open_world(
        tmp_path_factory.mktemp("home"), label_studio=access
    ).definitions
    return found


@pytest.fixture(scope="module")
def settled(definitions: dg.Definitions) -> Theatre:
    """Everything was made from its inputs; tests take copies."""
    theatre = Theatre(definitions)
    for source in SOURCES:
        theatre.change(source, 0)
    theatre.finish(theatre.launch(INPUTS))
    assert theatre.tick() == set()
    return theatre


@pytest.fixture
def theatre(settled: Theatre) -> Theatre:
    """Everything was made from its inputs."""
    return settled.copy()


def settle(theatre: Theatre) -> list[str]:
    """Let all runs succeed until nothing is asked for in two ticks; what was asked for."""
    asked: list[str] = []
    quiet = 0
    while quiet < 2:
        for run in list(theatre.running):
            theatre.finish(run)
        found = theatre.tick()
        asked += found
        quiet = 0 if found else quiet + 1
        assert len(asked) <= 4 * len(INPUTS), f"asked for again and again: {asked}"
    return asked


@pytest.mark.parametrize(
    ("asset", "source"),
    [
        ("dataset", "annotations"),
        ("dataset", "raw_images"),
        ("embeddings", "raw_images"),
        ("embeddings", "staging_endpoint"),
        ("labelling_queue", "annotations"),
        ("labelling_report", "annotations"),
    ],
)
def test_a_change_while_the_run_is_in_progress_is_in_the_next(
    theatre: Theatre, asset: str, source: str
) -> None:
    run = theatre.launch([asset])
    theatre.advance(run)
    theatre.advance(run)  # it has read
    theatre.change(source, 1)
    assert asset not in theatre.tick()  # in progress
    theatre.finish(run)
    assert asset in settle(theatre)
    assert not theatre.stale()


def test_a_model_that_comes_while_another_is_evaluated_is_evaluated(theatre: Theatre) -> None:
    run = theatre.launch(["evaluation_report"])
    theatre.advance(run)
    theatre.advance(run)
    theatre.change("annotations", 1)
    theatre.finish(theatre.launch(["dataset", "trained_model"]))
    theatre.finish(run)
    assert "evaluation_report" in settle(theatre)
    assert not theatre.stale()


def test_an_input_that_changes_and_changes_back_while_it_is_read(theatre: Theatre) -> None:
    run = theatre.launch(["dataset"])
    theatre.advance(run)  # Dagster has looked, the asset has not
    theatre.change("annotations", 1)
    theatre.advance(run)
    theatre.change("annotations", 0)
    theatre.finish(run)
    assert "dataset" in theatre.stale()
    settle(theatre)
    assert not theatre.stale()


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_change_between_the_request_and_the_next_tick_outlives_a_failure(
    theatre: Theatre, end: str
) -> None:
    theatre.change("annotations", 1)
    assert theatre.tick() >= {"dataset"}
    theatre.change("annotations", 2)
    getattr(theatre, end)(theatre.running[0])
    settle(theatre)
    assert not theatre.stale()


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_run_that_came_to_nothing_is_not_tried_for_ever(theatre: Theatre, end: str) -> None:
    theatre.change("annotations", 1)
    assert theatre.tick() >= {"dataset"}
    getattr(theatre, end)(theatre.running[0])
    assert "dataset" not in theatre.tick() | theatre.tick() | theatre.tick()
    theatre.change("annotations", 1)  # the same again
    assert "dataset" not in theatre.tick() | theatre.tick()
    theatre.change("annotations", 2)
    assert "dataset" in theatre.tick()


def test_an_older_run_that_ends_after_a_newer_one_is_made_good(theatre: Theatre) -> None:
    older = theatre.launch(["dataset"])
    theatre.advance(older)
    theatre.advance(older)
    theatre.change("annotations", 1)
    theatre.finish(theatre.launch(["dataset"]))
    theatre.finish(older)
    assert "dataset" in theatre.stale()
    settle(theatre)
    assert not theatre.stale()


def test_a_change_that_no_daemon_saw_and_whose_memory_was_lost(theatre: Theatre) -> None:
    run = theatre.launch(["dataset"])
    theatre.advance(run)
    theatre.advance(run)
    theatre.change("annotations", 1)
    theatre.finish(run)
    theatre.cursor = None
    settle(theatre)
    assert not theatre.stale()


def test_a_look_that_finds_nothing_new_asks_for_nothing(theatre: Theatre) -> None:
    for source in SOURCES:
        theatre.change(source, 0)
    assert settle(theatre) == []


def test_a_run_cancelled_before_the_checks_holds_nothing_up(theatre: Theatre) -> None:
    theatre.finish(theatre.launch(["dataset"]))
    theatre.change("annotations", 1)
    older = theatre.launch(["dataset"])
    later = theatre.launch(["dataset"])
    theatre.finish(older)
    theatre.cancel(later)
    settle(theatre)
    assert not theatre.stale()


@pytest.mark.parametrize("failing", ["class_floor_met", "no_split_leakage"])
def test_a_failed_check_still_holds_the_model_up(theatre: Theatre, failing: str) -> None:
    theatre.failing = {failing}
    theatre.change("annotations", 1)
    older = theatre.launch(["dataset"])
    later = theatre.launch(["dataset"])
    theatre.finish(older)
    theatre.cancel(later)
    assert "trained_model" not in settle(theatre)
    theatre.failing = set()
    theatre.change("annotations", 2)
    settle(theatre)
    assert not theatre.stale()


EVENTS = st.lists(
    st.one_of(
        st.just(("tick",)),
        st.tuples(st.just("change"), st.sampled_from(SOURCES), st.integers(0, 2)),
        st.tuples(st.just("advance"), st.integers(0, 5)),
        st.tuples(st.just("finish"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["fail", "cancel"]), st.integers(0, 5)),
        st.tuples(st.just("launch"), st.sampled_from([
            ("dataset",), ("dataset", "trained_model", "evaluation_report"), ("embeddings",),
            ("trained_model",), ("labelling_queue", "labelling_report"),
        ])),
        st.just(("forget",)),
    ),
    min_size=5, max_size=25,
)  # fmt: skip


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(events=EVENTS)
def test_when_idle_every_asset_is_made_from_its_newest_inputs(
    definitions: dg.Definitions, events: list[tuple[Any, ...]]
) -> None:
    theatre = Theatre(definitions)
    for source in SOURCES:
        theatre.change(source, 0)
    failed: dict[str, Any] = {}
    for event, *arguments in events:
        if event == "tick":
            theatre.tick()
        elif event == "change":
            theatre.change(*arguments)
        elif event == "launch":
            theatre.launch(*arguments)
        elif event == "forget":
            theatre.cursor = None
        elif theatre.running:
            run = theatre.running[arguments[0] % len(theatre.running)]
            if event in ("fail", "cancel"):
                failed |= {name: run.asked_with.get(name) for name in run.left}
            getattr(theatre, event)(run)
    settle(theatre)
    # A failed attempt waits for a person, as long as its inputs are those it was asked for with.
    excused = {name for name, inputs in failed.items() if inputs == theatre.inputs(name)}
    assert theatre.stale() <= excused | _waiting(theatre)


def _waiting(theatre: Theatre) -> set[str]:
    """Assets that cannot be made because an input was never made."""
    needed = HEEDED | {"embeddings": ("raw_images",), "labelling_report": ("annotations",)}
    return {name for name, keys in needed.items() if not theatre.holds.keys() >= set(keys)}


def test_labels_that_come_during_a_real_run_of_dataset(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, write = Daemon(world.definitions, world.instance), dataset_module.write_shards
    daemon.tick()
    world.add_classes(4)
    assert world.run("raw_images", "annotations").success
    assert daemon.tick() == {"dataset": {None}}

    def while_labels_come(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(dataset_module, "write_shards", write)
        world.add_classes(4, start=5000)
        assert world.run("raw_images", "annotations").success
        assert daemon.tick() == {}  # in progress
        return write(*arguments, **options)

    monkeypatch.setattr(dataset_module, "write_shards", while_labels_come)
    assert world.run("dataset").metadata("dataset")["images"] == 12
    assert daemon.tick()["dataset"] == {None}
    assert world.run("dataset").metadata("dataset")["images"] == 24
    assert "dataset" not in daemon.tick()
