"""When assets materialize by themselves. Each condition has a name and a reason."""

import dagster as dg
from dagster import AutomationCondition

from assets.line import latest_metadata
from imgclf_dagster.automation.newer_inputs import ApprovalIsNewer, DataSetIsNewer, InputsAreNewer
from imgclf_dagster.automation.passed_checks import blocking_checks_passed


class RetrainingIsDue(AutomationCondition):
    """``dataset`` said when it is time to train on it (``assets.dataset.retraining``), and it is."""

    @property
    def description(self) -> str:
        """For Dagster's page of the condition."""
        return "enough labels are new, or the oldest has waited long enough ([retraining])"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """True or false of everything that is asked about."""
        found = latest_metadata(context.asset_graph_view.instance, "dataset")
        # A data set of before the policy, or one that was reported by hand, says nothing: train.
        if "retraining" not in found:
            return _answer(context, True)
        due_at = found.get("retrain_at")
        now = context.evaluation_time.timestamp()
        return _answer(context, due_at is not None and float(due_at) <= now)


def _answer(context: dg.AutomationContext, is_true: bool) -> dg.AutomationResult:
    subset = context.candidate_subset if is_true else context.get_empty_subset()
    return dg.AutomationResult(context, subset)


def when_inputs_changed() -> AutomationCondition:
    """An input holds something else than the asset was made from, and its checks let it through.

    Not ``eager()``: that fires whenever an input *ran*, so every look at the raw folder would
    ripple through to training. Here a dependency counts as changed when its data version did.
    """
    return (
        InputsAreNewer()
        & ~AutomationCondition.newly_requested()  # its run may not have begun
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_inputs_changed")


def when_retraining_is_due() -> AutomationCondition:
    """The data set changed, and that is worth a training: a label by a person at a time is not."""
    return (
        DataSetIsNewer()
        & RetrainingIsDue()
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_retraining_is_due")


def when_version_is_new() -> AutomationCondition:
    """A model version has its inputs and lacks this asset.

    Not ``on_missing()``: that overlooks partitions which existed before its first evaluation,
    so a version that appeared while the daemon was down would never be released. A version
    whose attempt failed is not asked for again: a person looks first.
    """
    return (
        AutomationCondition.missing()
        & ~AutomationCondition.execution_failed()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_version_is_new")


def when_approved() -> AutomationCondition:
    """This very version was approved (again). The asset verifies the approval in its own code:
    a condition sees that ``release_approval`` was materialized, not what stands in it."""
    return (
        ApprovalIsNewer()
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_approved")


EMBED_EVERY = "* * * * *"
"""Cron schedule. A model comes in steps (evaluated, staged, in production), each of which changes who
is in use; and what is asked for a little later is out of the way of the line's own runs."""

LABELS_HEEDED_EVERY = "*/10 * * * *"
"""Cron schedule. While people label, labels change every few seconds; each look at the queue costs
the start of a process. That the queue runs low, ``labelling_queue_sensor`` sees at once."""


def _named(*assets: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*assets)


def line_is_asked_for() -> AutomationCondition:
    """Something on the way from labels to staging is requested in this very tick.

    What a tick requests becomes one run, whose steps come one after the other in any order: data
    set and training once waited for a minute of embeddings. So what serves labelling goes into a
    run of its own, a tick later.
    """
    asked = AutomationCondition.will_be_requested()
    found, *others = (AutomationCondition.asset_matches(name, asked) for name in conditions())
    for other in others:
        found = found | other
    return found.with_label("the line is asked for")


def when_the_pool_changed() -> AutomationCondition:
    """There are other images, or another model is in use; looked at every minute.

    Needs no model: before there is one, a pretrained net looks at the images. So of what it comes
    after only the images must be there.
    """
    images = _named("raw_images")
    return (
        InputsAreNewer()
        & ~AutomationCondition.newly_requested()
        & AutomationCondition.cron_tick_passed(EMBED_EVERY)
        & ~AutomationCondition.any_deps_missing().allow(images)
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed("raw_images")
        & ~line_is_asked_for()
    ).with_label("when_the_pool_changed")


def when_the_queue_is_stale() -> AutomationCondition:
    """The models see the images with other eyes, at once; or labels changed, every ten minutes."""
    return (
        (
            InputsAreNewer("embeddings")
            | (
                InputsAreNewer("annotations")
                & AutomationCondition.cron_tick_passed(LABELS_HEEDED_EVERY)
            )
        )
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
        & ~line_is_asked_for()
    ).with_label("when_the_queue_is_stale")


REPORTED_EVERY = "5-55/10 * * * *"
"""Cron schedule, between two looks at the queue. People read a report once in a while; and a training
that has just ended goes on to staging, which the report's job must not slow down."""


def when_the_report_is_old() -> AutomationCondition:
    """Labels or the model changed since the last report; looked at every ten minutes.

    Needs no model, nor a queue: without them the report says less.
    """
    return (
        InputsAreNewer("annotations", "trained_model")
        & ~AutomationCondition.newly_requested()
        & AutomationCondition.cron_tick_passed(REPORTED_EVERY)
        & ~AutomationCondition.any_deps_missing().allow(_named("annotations"))
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & ~line_is_asked_for()
    ).with_label("when_the_report_is_old")


def labelling_conditions() -> dict[str, AutomationCondition]:
    """Of what serves labelling in Label Studio; without one, nobody needs it to be current."""
    return {
        "embeddings": when_the_pool_changed(),
        "labelling_queue": when_the_queue_is_stale(),
        "labelling_report": when_the_report_is_old(),
    }


def conditions() -> dict[str, AutomationCondition]:
    """Which asset goes by which condition. ``raw_images``, ``annotations`` and
    ``release_approval`` have none: sensors ask for them, for they look at the outside world."""
    return {
        "dataset": when_inputs_changed(),
        "trained_model": when_retraining_is_due(),
        "evaluation_report": when_inputs_changed(),
        "registered_package": when_version_is_new(),
        "staging_endpoint": when_version_is_new(),
        "prod_endpoint": when_approved(),
    }


def automated(spec: dg.AssetSpec, *, labelling: bool = False) -> dg.AssetSpec:
    """``spec`` with its automation condition, if it has one.

    Args:
        labelling: there is a Label Studio to label in.
    """
    known = conditions() | (labelling_conditions() if labelling else {})
    condition = known.get(spec.key.to_user_string())
    return spec.replace_attributes(automation_condition=condition) if condition else spec
