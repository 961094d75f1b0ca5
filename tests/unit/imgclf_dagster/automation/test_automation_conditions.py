"""What each automation condition is made of; what the parts do, ``tests/graph`` shows."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster import AutomationCondition

from imgclf_dagster.automation.conditions import (
    RetrainingIsDue,
    automated,
    automation,
    conditions,
    labelling_conditions,
    line_is_asked_for,
)
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

QUIET = "not any_deps_in_progress, not in_progress"
READY = f"not any_deps_missing, {QUIET}"
PASSED = "blocking checks passed of all"
LATER = "not a run of the line is requested"


def parts(condition: Any) -> str:
    """The operands of a condition, each by its label."""
    assert type(condition).__name__ == "AndAutomationCondition"
    return ", ".join(map(described, condition.operands))


def described(condition: Any) -> str:
    match type(condition).__name__:
        case "NotAutomationCondition":
            return f"not {described(condition.operand)}"
        case "OrAutomationCondition" if condition.label == "blocking checks passed":
            dagsters, before = condition.operands
            inputs = _allowed(dagsters) or "all"
            assert inputs == (", ".join(before.inputs) or "all")
            return f"{condition.label} of {inputs}"
        case "OrAutomationCondition" if condition.label is None:
            return f"({' or '.join(map(described, condition.operands))})"
        case "AndAutomationCondition" if condition.label is None:
            return f"({' and '.join(map(described, condition.operands))})"
    allowed = _allowed(condition)
    named = condition.get_label() or condition.name
    return f"{named} of {allowed}" if allowed else str(named)


def _allowed(condition: Any) -> str:
    selection = getattr(condition, "allow_selection", None)
    keys = selection.selected_keys if selection else ()
    return ", ".join(key.to_user_string() for key in keys)


NEW_VERSION = f"missing, not execution_failed, {READY}, {PASSED}"
INPUTS = f"InputsAreNewer(), not newly_requested, {READY}, {PASSED}"
ONE_INPUT = (
    "not newly_requested, not any_deps_missing of {0}, not any_deps_in_progress of {0}, "
    "not in_progress, blocking checks passed of {0}"
)
CONDITIONS = {
    "dataset": ("when_inputs_changed", INPUTS),
    "trained_model": (
        "when_retraining_is_due",
        f"DataSetIsNewer(dataset), RetrainingIsDue, {ONE_INPUT.format('dataset')}",
    ),
    "evaluation_report": (
        "when_candidate_changed",
        f"InputsAreNewer(), {ONE_INPUT.format('trained_model')}",
    ),
    "registered_package": ("when_version_is_new", NEW_VERSION),
    "staging_endpoint": ("when_version_is_new", NEW_VERSION),
    "prod_endpoint": ("when_approved", f"ApprovalIsNewer, not newly_requested, {READY}, {PASSED}"),
}
EVERY_MINUTE, AT_TENS, AT_FIVES = (
    f"cron_tick_passed(cron_schedule={schedule}, cron_timezone=UTC)"
    for schedule in ("* * * * *", "*/10 * * * *", "5-55/10 * * * *")
)
LABELLING = {
    "embeddings": (
        "when_the_pool_changed",
        f"InputsAreNewer(), not newly_requested, ({EVERY_MINUTE} or (a full minute since the last "
        "request and not a run of the line is in progress)), not any_deps_missing of "
        f"raw_images, {QUIET}, blocking checks passed of raw_images, {LATER}",
    ),
    "labelling_queue": (
        "when_the_queue_is_stale",
        f"(InputsAreNewer(embeddings) or (InputsAreNewer(annotations) and {AT_TENS})), "
        f"not newly_requested, {READY}, {PASSED}, {LATER}",
    ),
    "labelling_report": (
        "when_the_report_is_old",
        f"InputsAreNewer(annotations, trained_model), not newly_requested, {AT_FIVES}, "
        f"not any_deps_missing of annotations, {QUIET}, {LATER}",
    ),
}


@pytest.mark.parametrize(
    ("found", "expected"),
    [(conditions(ObjectStore(url="memory:///")), CONDITIONS), (labelling_conditions(), LABELLING)],
)
def test_each_condition_is_made_of_these_parts(found: Any, expected: Any) -> None:
    assert {
        asset: (condition.get_label(), parts(condition)) for asset, condition in found.items()
    } == expected


def test_the_line_is_asked_for_when_any_asset_of_it_is() -> None:
    found: Any = line_is_asked_for()
    asked: list[str] = []
    while True:
        assert type(found).__name__ == "OrAutomationCondition"
        *more, last = found.operands
        asked.append(last.key.to_user_string())
        assert described(last.operand) == "will_be_requested"
        if type(more[0]).__name__ == "EntityMatchesCondition":
            asked += [one.key.to_user_string() for one in more]
            assert {described(one.operand) for one in more} == {"will_be_requested"}
            break
        (found,) = more
    assert sorted(asked) == sorted(CONDITIONS)


def test_an_asset_gets_its_condition_and_no_other() -> None:
    store = ObjectStore(url="memory:///")
    for asset, (label, _) in (CONDITIONS | LABELLING).items():
        spec = dg.AssetSpec(asset, owners=["team:a"])
        with_label_studio = automated(spec, automation(store, labelling=True))
        assert with_label_studio.owners == ["team:a"]
        condition = with_label_studio.automation_condition
        assert condition is not None
        assert condition.get_label() == label
        without = automated(spec, automation(store)).automation_condition
        assert (without is None) is (asset in LABELLING)
    source = dg.AssetSpec("raw_images")
    assert automated(source, automation(store, labelling=True)) == source


NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def is_asked_for(condition: AutomationCondition, **metadata: Any) -> bool:
    """Whether ``trained_model`` is asked for after a data set with ``metadata``."""
    instance = dg.DagsterInstance.ephemeral()
    definitions = dg.Definitions(
        assets=[
            dg.AssetSpec("dataset"),
            dg.AssetsDefinition(
                specs=[
                    dg.AssetSpec("trained_model", deps=["dataset"], automation_condition=condition)
                ]
            ),
        ]
    )
    made = dg.AssetMaterialization("dataset", metadata={"dataset_version": "d1", **metadata})
    instance.report_runless_asset_event(made)
    found = dg.evaluate_automation_conditions(
        defs=definitions, instance=instance, evaluation_time=NOW
    )
    return found.get_num_requested(dg.AssetKey("trained_model")) == 1


@pytest.mark.parametrize(
    ("expected", "due"),
    [
        ({}, True),  # of before the policy
        ({"retrain_at": NOW.timestamp() + 1}, True),  # likewise
        ({"retraining": "no new labels"}, False),
        ({"retraining": "due", "retrain_at": NOW.timestamp()}, True),
        ({"retraining": "due", "retrain_at": int(NOW.timestamp()) - 1}, True),
        ({"retraining": "waits", "retrain_at": NOW.timestamp() + 1}, False),
    ],
)
def test_a_training_is_due_when_the_data_set_says_so(expected: dict[str, Any], due: bool) -> None:
    assert is_asked_for(RetrainingIsDue(ObjectStore(url="memory:///")), **expected) is due
