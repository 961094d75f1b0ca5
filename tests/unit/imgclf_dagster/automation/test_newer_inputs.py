"""What counts as newer than an asset was made from; a small graph, events reported by hand."""

from collections.abc import Iterable
from typing import Any

import dagster as dg
import pytest
from dagster import AutomationCondition
from pydantic import ValidationError

from imgclf_dagster.automation import newer_inputs
from imgclf_dagster.automation.newer_inputs import (
    ApprovalIsNewer,
    Approvals,
    DataSetIsNewer,
    InputsAreNewer,
    Memory,
)
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

PARTITIONS = dg.StaticPartitionsDefinition(["p", "q"])


class Daemon:
    """Evaluates one condition tick by tick; ``child`` depends on ``inputs``."""

    def __init__(
        self,
        condition: AutomationCondition,
        inputs: Iterable[str] = ("a", "b"),
        *,
        partitioned: Iterable[str] = (),
    ) -> None:
        def spec(name: str, **more: Any) -> dg.AssetSpec:
            partitions = PARTITIONS if name in partitioned else None
            return dg.AssetSpec(name, partitions_def=partitions, **more)

        child = spec("child", deps=list(inputs), automation_condition=condition)
        assets: list[Any] = [*map(spec, inputs), dg.AssetsDefinition(specs=[child])]
        self.definitions = dg.Definitions(assets=assets)
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: Any = None

    def tick(self) -> set[str | None]:
        """The partitions of ``child`` that are asked for; None: it has none."""
        found = dg.evaluate_automation_conditions(
            defs=self.definitions, instance=self.instance, cursor=self.cursor
        )
        self.cursor = found.cursor
        return found.get_requested_partitions(dg.AssetKey("child"))

    def is_asked_for(self) -> bool:
        return self.tick() == {None}

    def made(
        self, asset: str, version: str | None = None, partition: str | None = None, **more: Any
    ) -> int:
        """``asset`` was materialized; the storage id of the event."""
        tags = more.pop("tags", {})
        if version is not None:
            tags = {"dagster/data_version": version, **tags}
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset, partition=partition, tags=tags, **more)
        )
        record = self.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records[0]
        return record.storage_id

    def made_from(self, version: str = "1", **used: Any) -> int:
        """``child`` was made from these events of its inputs."""
        tags = {f"dagster/input_event_pointer/{name}": str(event) for name, event in used.items()}
        return self.made("child", version, tags=tags)


@pytest.fixture
def daemon() -> Daemon:
    """``child`` was made from the versions 1 of its inputs."""
    daemon = Daemon(InputsAreNewer())
    daemon.made_from(a=daemon.made("a", "1"), b=daemon.made("b", "1"))
    return daemon


def test_what_was_never_made_is_asked_for_once() -> None:
    daemon = Daemon(InputsAreNewer())
    daemon.made("a", "1")
    assert daemon.is_asked_for()
    assert not daemon.is_asked_for(), "that was an attempt"
    daemon.made("a", "1")
    assert not daemon.is_asked_for()
    daemon.made("b", "1")
    assert daemon.is_asked_for(), "an input that was not there"


def test_each_input_s_change_is_asked_for_once(daemon: Daemon) -> None:
    assert not daemon.is_asked_for()
    for name in ("a", "b"):
        daemon.made(name, "1")
        assert not daemon.is_asked_for()
        daemon.made(name, "2")
        assert daemon.is_asked_for()
        assert not daemon.is_asked_for()


def test_a_change_before_the_first_look_is_seen(daemon: Daemon) -> None:
    daemon.made("b", "2")
    assert daemon.is_asked_for()


def test_a_change_and_back_may_have_been_read_between(daemon: Daemon) -> None:
    daemon.made("a", "2")
    daemon.made("a", "1")
    assert daemon.is_asked_for()


def test_events_that_changed_nothing_are_used_up_with_the_first_look(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newer_inputs, "LOOKED_THROUGH", 2)
    for _ in range(4):
        daemon.made("a", "1")
        assert not daemon.is_asked_for()
    for _ in range(3):
        daemon.made("a", "1")
    assert daemon.is_asked_for(), "more than are looked through count as a change"


def test_a_materialization_without_a_version_is_a_change(daemon: Daemon) -> None:
    # Dagster's own tag is missing on what was reported by a very old version.
    daemon.made("a")
    assert daemon.is_asked_for()


def test_a_new_materialization_is_made_from_what_it_says(daemon: Daemon) -> None:
    assert not daemon.is_asked_for()
    old = daemon.made("a", "2")
    daemon.made("a", "3")
    daemon.made_from("2", a=old, b=daemon.made("b", "1"))
    assert daemon.is_asked_for()
    daemon.made_from("3", a=daemon.made("a", "3"), b=daemon.made("b", "1"))
    assert not daemon.is_asked_for()


def test_what_was_made_from_nothing_is_made_again(daemon: Daemon) -> None:
    daemon.made_from("2", a="NULL", b=daemon.made("b", "1"))
    assert daemon.is_asked_for()


@pytest.mark.parametrize(("version", "asked"), [("1", False), ("0", True)])
def test_without_pointers_the_versions_of_the_inputs_count(version: str, asked: bool) -> None:
    daemon = Daemon(InputsAreNewer("a"))
    daemon.made("a", "0")
    daemon.made("a", "1")
    daemon.made("child", "1", tags={"dagster/input_data_version/a": version})
    assert daemon.is_asked_for() is asked


def test_what_was_reported_by_hand_was_made_from_what_was_there() -> None:
    daemon = Daemon(InputsAreNewer())
    daemon.made("a", "1")
    daemon.made("child", "1")
    assert not daemon.is_asked_for()
    daemon.made("a", "1")
    daemon.made("child", "2")
    daemon.made("a", "1")
    assert not daemon.is_asked_for()
    daemon.made("a", "2")
    assert daemon.is_asked_for()


def test_an_input_older_than_a_hand_made_asset_and_one_that_came_since() -> None:
    daemon = Daemon(InputsAreNewer())
    daemon.made("child", "1")
    assert not daemon.is_asked_for()
    daemon.made("b", "1")
    assert daemon.is_asked_for()


def test_an_input_that_was_wiped_asks_for_nothing_until_it_is_back(daemon: Daemon) -> None:
    assert not daemon.is_asked_for()
    daemon.instance.wipe_assets([dg.AssetKey("a")])
    assert not daemon.is_asked_for()
    daemon.made("a", "1")
    assert daemon.is_asked_for()


def test_only_the_named_inputs_are_watched() -> None:
    daemon = Daemon(InputsAreNewer("b"))
    daemon.made_from(a=daemon.made("a", "1"), b=daemon.made("b", "1"))
    daemon.made("a", "2")
    assert not daemon.is_asked_for()
    daemon.made("b", "2")
    assert daemon.is_asked_for()


def test_versions_of_a_partitioned_input_are_compared_by_partition() -> None:
    daemon = Daemon(InputsAreNewer(), ["a"], partitioned=["a"])
    daemon.made("a", "1", "p")
    daemon.made_from(a=daemon.made("a", "2", "q"))
    assert not daemon.is_asked_for()
    daemon.made("a", "1", "p")
    daemon.made("a", "2", "q")
    assert not daemon.is_asked_for()
    daemon.made("a", "1", "q")
    assert daemon.is_asked_for()
    daemon.made("a", "1", "p")
    assert not daemon.is_asked_for()


def test_what_another_version_remembered_is_forgotten() -> None:
    assert Memory.parse(None) is None
    assert Memory.parse("") is None
    assert Memory.parse("{}") is None
    kept = Memory(made=1, used={"a": 2}, seen={"a": 3})
    assert Memory.parse(kept.model_dump_json()) == kept
    with pytest.raises(ValidationError):
        Memory.model_validate_json("{}")


def test_a_condition_is_named_by_its_inputs() -> None:
    assert InputsAreNewer().name == "InputsAreNewer()"
    assert InputsAreNewer("a", "b").name == "InputsAreNewer(a, b)"
    assert DataSetIsNewer(ObjectStore(url="memory:///"), "a").name == "DataSetIsNewer(a)"
    assert InputsAreNewer("a", "b").description == "a, b changed since the asset was made"
    assert InputsAreNewer().description == "an input changed since the asset was made"
    assert ApprovalIsNewer().description == "an approval that no deployment has used"


# --- of a model -------------------------------------------------------------------------------

MODEL = {"model_version": "train-1", "digest": "0" * 64}


@pytest.mark.parametrize(
    ("expected", "newest", "asked"),
    [
        ({"dataset_version": "d1"}, "d1", False),
        ({"dataset_version": "d1"}, "d2", True),
        ({"dataset_version": "d1", "dataset_named": True}, "d2", False),  # superseded by newer ones
        ({"dataset_version": "d2", "dataset_named": False}, "d2", False),
        ({}, "d2", False),  # Dagster's tags count
        ({"dataset_version": "d1"}, None, False),
    ],
)
def test_a_model_says_which_data_set_it_was_trained_on(
    expected: dict[str, Any], newest: str | None, asked: bool
) -> None:
    daemon = Daemon(DataSetIsNewer(ObjectStore(url="memory:///")), ["dataset", "a"])
    metadata = {"dataset_version": newest} if newest else {}
    event = daemon.made("dataset", newest or "x", metadata=metadata)
    tags = {"dagster/input_event_pointer/dataset": str(event)}
    daemon.made("child", "1", metadata=expected and {**MODEL, **expected}, tags=tags)
    assert daemon.is_asked_for() is asked
    daemon.made("dataset", "d9", metadata={"dataset_version": "d9"})
    assert daemon.is_asked_for()


def test_a_data_set_that_the_tags_call_newer_is_not_if_the_model_has_it() -> None:
    daemon = Daemon(DataSetIsNewer(ObjectStore(url="memory:///")), ["dataset"])
    daemon.made("dataset", "1", metadata={"dataset_version": "d1"})
    daemon.made("dataset", "2", metadata={"dataset_version": "d2"})
    tags = {"dagster/input_event_pointer/dataset": "NULL"}
    daemon.made("child", "1", metadata={**MODEL, "dataset_version": "d2"}, tags=tags)
    assert not daemon.is_asked_for()
    no_data = Daemon(DataSetIsNewer(ObjectStore(url="memory:///")), ["a"])
    no_data.made("child", "1", metadata={**MODEL, "dataset_version": "d1"})
    assert not no_data.is_asked_for()


# --- of an approval ---------------------------------------------------------------------------


@pytest.fixture
def approvals() -> Daemon:
    """``child`` is deployed by partition; the daemon has looked once."""
    daemon = Daemon(ApprovalIsNewer(), ["a"], partitioned=["a", "child"])
    assert daemon.tick() == set()
    return daemon


def test_each_approval_is_asked_for_once_and_in_its_partition(approvals: Daemon) -> None:
    approvals.made("a", "1", "p")
    assert approvals.tick() == {"p"}
    assert approvals.tick() == set()
    approvals.made("a", "1", "q")
    assert approvals.tick() == {"q"}
    approvals.made("a", "1", "p")
    approvals.made("a", "1", "q")
    assert approvals.tick() == {"p", "q"}
    assert approvals.tick() == set()


def test_approvals_from_before_the_first_look_are_not_carried_out() -> None:
    daemon = Daemon(ApprovalIsNewer(), ["a"], partitioned=["a", "child"])
    daemon.made("a", "1", "p")
    assert daemon.tick() == set()
    assert daemon.tick() == set()
    daemon.made("a", "1", "q")
    assert daemon.tick() == {"q"}


def test_an_approval_that_a_deployment_has_seen_is_used(approvals: Daemon) -> None:
    event = approvals.made("a", "1", "p")
    tags = {"dagster/input_event_pointer/a": str(event)}
    approvals.made("child", "1", "p", tags=tags)
    assert approvals.tick() == set()
    approvals.made("a", "1", "p")
    assert approvals.tick() == {"p"}, "the deployment has seen an earlier one"


def test_a_deployment_that_was_reported_by_hand_has_seen_all_before_it(approvals: Daemon) -> None:
    approvals.made("a", "1", "p")
    approvals.made("child", "1", "p")
    assert approvals.tick() == set()
    approvals.made("a", "1", "p")
    assert approvals.tick() == {"p"}


def test_a_deployment_without_an_approval_has_seen_none(approvals: Daemon) -> None:
    approvals.made("a", "1", "p")
    approvals.made("child", "1", "p", tags={"dagster/input_event_pointer/a": "NULL"})
    assert approvals.tick() == {"p"}


def test_the_deployment_of_one_partition_says_nothing_of_another(approvals: Daemon) -> None:
    approvals.made("a", "1", "p")
    approvals.made("child", "1", "q")
    assert approvals.tick() == {"p"}


def test_approvals_wait_where_something_else_keeps_them_back() -> None:
    condition = ApprovalIsNewer() & ~AutomationCondition.any_deps_missing() & (
        ~AutomationCondition.missing()
    )  # fmt: skip
    daemon = Daemon(condition, ["a"], partitioned=["a", "child"])
    daemon.tick()
    daemon.made("a", "1", "p")
    assert daemon.tick() == set()
    daemon.made("child", "1", "p", tags={"dagster/input_event_pointer/a": "NULL"})
    assert daemon.tick() == {"p"}


def test_approvals_are_remembered_by_partition() -> None:
    kept = Approvals(known=3, waiting={"p": 2})
    assert Approvals.model_validate_json(kept.model_dump_json()) == kept
    assert Approvals(known=1).waiting == {}
