"""Whether the inputs' blocking checks passed for what they hold now, in a small graph."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import AutomationCondition
from dagster._core.events import StepMaterializationData

from imgclf_dagster.automation.passed_checks import (
    ChecksPassedBefore,
    _is_of,
    blocking_checks_passed,
)

pytestmark = pytest.mark.unit


class Room:
    """``child`` depends on ``a`` and ``b``, which have checks; runs are told event by event."""

    def __init__(self, condition: AutomationCondition, *, partitioned: bool = False) -> None:
        partitions = dg.StaticPartitionsDefinition(["p"]) if partitioned else None

        def source(name: str) -> dg.AssetsDefinition:
            @dg.asset(name=name, partitions_def=partitions)
            def made() -> None: ...

            return made

        def check(asset: str, name: str, blocking: bool) -> dg.AssetChecksDefinition:
            @dg.asset_check(asset=asset, name=name, blocking=blocking)
            def checked() -> dg.AssetCheckResult:
                return dg.AssetCheckResult(passed=True)

            return checked

        @dg.asset(name="child", deps=["a", "b"], automation_condition=condition)
        def child() -> None: ...

        self.definitions = dg.Definitions(
            assets=[source("a"), source("b"), child],
            asset_checks=[
                check("a", "one", True),
                check("a", "two", True),
                check("a", "warns", False),
            ],
        )
        self.instance = dg.DagsterInstance.ephemeral()
        self.job = self.definitions.get_repository_def().get_implicit_global_asset_job_def()

    def is_passed(self) -> bool:
        found = dg.evaluate_automation_conditions(defs=self.definitions, instance=self.instance)
        return found.get_num_requested(dg.AssetKey("child")) == 1

    def run(self, *assets: str) -> dg.DagsterRun:
        """A run that plans ``assets`` and their checks, and has begun."""
        keys = frozenset(map(dg.AssetKey, assets))
        return self.instance.create_run_for_job(
            job_def=self.job.get_subset(asset_selection=set(keys)), asset_selection=keys
        )

    def made(
        self, run: dg.DagsterRun | None, asset: str = "a", partition: str | None = None
    ) -> None:
        event = dg.AssetMaterialization(asset, partition=partition)
        if run is None:
            self.instance.report_runless_asset_event(event)
            return
        self._report(run, "ASSET_MATERIALIZATION", StepMaterializationData(event))

    def checked(
        self, run: dg.DagsterRun | None, *, one: bool | None = True, two: bool | None = True
    ) -> None:
        for name, passed in (("one", one), ("two", two)):
            if passed is None:
                continue
            found = dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey("a"),
                check_name=name,
                passed=passed,
                metadata={},
            )
            if run is None:
                self.instance.report_runless_asset_event(found)
            else:
                self._report(run, "ASSET_CHECK_EVALUATION", found)

    def _report(self, run: dg.DagsterRun, event: str, data: Any) -> None:
        reported = dg.DagsterEvent(
            event_type_value=event, job_name=run.job_name, event_specific_data=data
        )
        self.instance.report_dagster_event(reported, run_id=run.run_id)


@pytest.fixture
def room() -> Room:
    room = Room(ChecksPassedBefore())
    room.made(None, "b")
    return room


def test_checks_that_passed_in_the_run_that_made_the_input_count(room: Room) -> None:
    run = room.run("a")
    room.made(run)
    assert not room.is_passed(), "not evaluated yet"
    room.checked(run, one=True, two=None)
    assert not room.is_passed(), "one of the two"
    room.checked(run, one=None, two=True)
    assert room.is_passed()


def test_a_later_run_that_never_came_to_them_changes_nothing(room: Room) -> None:
    run = room.run("a")
    room.made(run)
    room.checked(run)
    room.run("a")  # planned, and nothing more
    assert room.is_passed()


@pytest.mark.parametrize("failing", ["one", "two"])
def test_each_check_that_failed_counts(room: Room, failing: str) -> None:
    run = room.run("a")
    room.made(run)
    room.checked(run, **{failing: False})
    assert not room.is_passed()


def test_the_newest_evaluation_of_a_check_counts(room: Room) -> None:
    run = room.run("a")
    room.made(run)
    room.checked(run, one=False)
    room.checked(run, one=True)
    assert room.is_passed()
    room.checked(run, two=False)
    assert not room.is_passed()


def test_checks_of_an_older_materialization_do_not_count(room: Room) -> None:
    run = room.run("a")
    room.made(run)
    room.checked(run)
    room.made(room.run("a"))
    assert not room.is_passed()


def test_an_input_that_was_never_made_or_by_hand_has_not_passed(room: Room) -> None:
    assert not room.is_passed()
    room.made(None)
    room.checked(None)
    assert not room.is_passed()


def test_a_partitioned_input_with_checks_has_not_passed() -> None:
    room = Room(ChecksPassedBefore(), partitioned=True)
    run = room.run("a")
    room.made(run, partition="p")
    room.checked(run)
    assert not room.is_passed()


def test_only_the_named_inputs_are_looked_at() -> None:
    room = Room(ChecksPassedBefore("b"))
    assert room.is_passed(), "it has no checks"
    assert not Room(ChecksPassedBefore("a")).is_passed()
    assert not Room(ChecksPassedBefore("a", "b")).is_passed()


def test_an_evaluation_is_of_the_run_that_made_the_input_or_of_what_it_says() -> None:
    newest: Any = SimpleNamespace(run_id="r")

    def record(run_id: str, target: str | None = None, *, evaluated: bool = True) -> Any:
        of = SimpleNamespace(run_id=target) if target else None
        evaluation = SimpleNamespace(target_materialization_data=of) if evaluated else None
        return SimpleNamespace(run_id=run_id, evaluation=evaluation)

    assert _is_of(record("r"), newest)
    assert _is_of(record("r", "s"), newest)
    assert _is_of(record("later", "r"), newest)
    assert not _is_of(record("later", "s"), newest)
    assert not _is_of(record("later"), newest)
    assert not _is_of(record("later", evaluated=False), newest)
    unmade: Any = SimpleNamespace(run_id="")
    assert not _is_of(record("later"), unmade)


@pytest.mark.parametrize("inputs", [(), ("a",)])
def test_dagster_s_own_answer_or_ours_is_enough(inputs: tuple[str, ...]) -> None:
    found: Any = blocking_checks_passed(*inputs)
    assert found.get_label() == "blocking checks passed"
    dagsters, ours = found.operands
    assert dagsters.get_label() == "all_deps_blocking_checks_passed"
    assert ours.inputs == inputs
    allowed = dagsters.allow_selection
    assert (allowed is None) is (inputs == ())
    if inputs:
        assert allowed.selected_keys == [dg.AssetKey("a")]
    description = ChecksPassedBefore().description
    assert description == "the checks passed for the newest materialization, in any run"
    room = Room(found)
    room.made(None)
    room.checked(None)
    assert room.is_passed(), "by hand, Dagster lets it through"


def test_nothing_is_passed_of_what_is_not_asked_about() -> None:
    room = Room(AutomationCondition.missing() & ChecksPassedBefore("b"))
    assert room.is_passed()
    room.made(None, "child")
    assert not room.is_passed()
