"""Automation conditions of the assets. Each has a label and a reason."""

from collections.abc import Mapping

import dagster as dg
from dagster import AutomationCondition

from assets.records.dataset import DatasetRecord
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from imgclf_dagster.automation.newer_inputs import ApprovalIsNewer, DataSetIsNewer, InputsAreNewer
from imgclf_dagster.automation.passed_checks import blocking_checks_passed
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore


class RetrainingIsDue(AutomationCondition):
    """The training time that ``dataset`` recorded (``assets.dataset.retraining``) has come."""

    def __init__(self, store: ObjectStore) -> None:
        """Read the record of ``dataset`` in ``store``."""
        self._store = store

    @property
    def description(self) -> str:
        """For Dagster's page of the condition."""
        return "enough labels are new, or the oldest has waited long enough ([retraining])"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Return all of the candidates if training is due, else none."""
        if context.candidate_subset.is_empty:  # the store need not be asked
            return _answer(context, False)
        try:
            instance = context.asset_graph_view.instance
            found = newest_materialization(instance, self._store, DatasetRecord)
        except DamagedObject:  # a training too many is better than none for ever
            return _answer(context, True)
        return _answer(context, found is None or found.is_due(context.evaluation_time.timestamp()))


def _answer(context: dg.AutomationContext, is_true: bool) -> dg.AutomationResult:
    subset = context.candidate_subset if is_true else context.get_empty_subset()
    return dg.AutomationResult(context, subset)


def when_inputs_changed() -> AutomationCondition:
    """True if an input differs from the one that the asset was made from and passed its checks."""
    # Not eager(), which fires whenever an input was materialized: every check of the raw folder
    # would lead to a training. Here an input has changed when its data version has.
    return (
        InputsAreNewer()
        & ~AutomationCondition.newly_requested()  # its run may not have started
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_inputs_changed")


def when_retraining_is_due(store: ObjectStore) -> AutomationCondition:
    """True if the data set changed and the retraining policy says that it is worth a training.

    ``store`` has the records of the data set and of the model. Hyperparameters that a search found
    are used by the next training, and are no reason for one.
    """
    data = _named("dataset")
    return (
        DataSetIsNewer(store, "dataset")
        & RetrainingIsDue(store)
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing().allow(data)
        & ~AutomationCondition.any_deps_in_progress().allow(data)
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed("dataset")
    ).with_label("when_retraining_is_due")


def when_candidate_changed() -> AutomationCondition:
    """True if the trained model or the outcome of a challenger changed since the last evaluation.

    Of its inputs only ``trained_model`` must exist. A challenger in progress is not waited for: a
    model of newer data is evaluated meanwhile.
    """
    model = _named("trained_model")
    return (
        InputsAreNewer()
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing().allow(model)
        & ~AutomationCondition.any_deps_in_progress().allow(model)
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed("trained_model")
    ).with_label("when_candidate_changed")


class ModelIsEvaluated(AutomationCondition):
    """The newest trained model was made by recipe auto and has been evaluated."""

    def __init__(self, store: ObjectStore) -> None:
        """Read the records of both assets in ``store``."""
        self._store = store

    @property
    def description(self) -> str:
        """For Dagster's page of the condition."""
        return (
            "the newest model of recipe auto is evaluated, so that nothing waits for a challenger"
        )

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Return all of the candidates if it is, else none."""
        if context.candidate_subset.is_empty:  # the store need not be asked
            return _answer(context, False)
        instance = context.asset_graph_view.instance
        try:
            model = newest_materialization(instance, self._store, TrainedModelRecord)
            evaluated = newest_materialization(instance, self._store, EvaluationReportRecord)
        except DamagedObject:  # `imgclf doctor --store` names it
            return _answer(context, False)
        is_evaluated = model and evaluated and evaluated.model_version == model.model_version
        return _answer(context, bool(is_evaluated and model and model.recipe_asked == "auto"))


def when_a_challenger_is_due(store: ObjectStore) -> AutomationCondition:
    """True if the newest trained model has had no challenger, and is evaluated.

    ``store`` has the records of models and evaluations. A data set that is to be trained on comes
    first; each challenger that was started ends, so that labels that come all the time cannot prevent
    every one.
    """
    model = _named("trained_model")
    return (
        InputsAreNewer("trained_model")
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing().allow(model)
        & ~AutomationCondition.any_deps_in_progress().allow(model)
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed("trained_model")
        & ~line_is_asked_for()
        & ModelIsEvaluated(store)
    ).with_label("when_a_challenger_is_due")


def when_version_is_new() -> AutomationCondition:
    """True for a model version whose inputs exist and for which this asset is missing.

    A version whose run failed is not requested again: a person has to look first.
    """
    # Not on_missing(), which ignores partitions that existed before its first evaluation: a version
    # added while the daemon was down would never be released.
    return (
        AutomationCondition.missing()
        & ~AutomationCondition.execution_failed()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_version_is_new")


def when_approved() -> AutomationCondition:
    """True for a model version with a new approval.

    The asset verifies the approval itself: a condition sees only that ``release_approval`` was
    materialized.
    """
    return (
        ApprovalIsNewer()
        & ~AutomationCondition.newly_requested()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed()
    ).with_label("when_approved")


AUTOMATED_LINE = (
    "dataset",
    "trained_model",
    "evaluation_report",
    "registered_package",
    "staging_endpoint",
    "prod_endpoint",
)
"""Assets from the data set to production that automation makes."""

EMBED_EVERY = "* * * * *"
"""Cron schedule. A release has several steps (evaluated, staged, in production), each of which
changes the model in use, and a stream of images changes the pool all the time; each run costs the start
of a process."""

LABELS_HEEDED_EVERY = "*/10 * * * *"
"""Cron schedule. While people label, labels change every few seconds, and each run of the queue costs
the start of a process. A queue that runs low is noticed earlier, by ``labelling_queue_sensor``."""


def _named(*assets: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*assets)


def line_is_asked_for() -> AutomationCondition:
    """True if an asset from the data set to production is requested in the same tick."""
    # The requests of a tick become one run, whose steps are executed one by one in any order: data
    # set and training could wait for a minute of embeddings. So the assets for labelling get a run
    # of their own in a later tick.
    asked = AutomationCondition.will_be_requested()
    return _any_of_the_line(asked, "a run of the line is requested")


def line_is_in_progress() -> AutomationCondition:
    """True if an asset from the data set to production is being made."""
    made = AutomationCondition.in_progress()
    return _any_of_the_line(made, "a run of the line is in progress")


def _any_of_the_line(condition: AutomationCondition, label: str) -> AutomationCondition:
    """True if a condition is true of an asset from the data set to production; with a label."""
    found, *others = (AutomationCondition.asset_matches(name, condition) for name in AUTOMATED_LINE)
    for other in others:
        found = found | other
    return found.with_label(label)


def when_the_pool_changed() -> AutomationCondition:
    """True if images or the model in use changed: at most once a minute.

    While the line works, it waits for the full minute: a run of its own would slow down the line's.
    Of its inputs only ``raw_images`` must exist: without a model, a pretrained net computes the
    embeddings.
    """
    images = _named("raw_images")
    minute = AutomationCondition.cron_tick_passed(EMBED_EVERY)
    is_rested = minute.since(AutomationCondition.newly_requested()).with_label(
        "a full minute since the last request"
    )
    return (
        InputsAreNewer()
        & ~AutomationCondition.newly_requested()
        & (minute | (is_rested & ~line_is_in_progress()))
        & ~AutomationCondition.any_deps_missing().allow(images)
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
        & blocking_checks_passed("raw_images")
        & ~line_is_asked_for()
    ).with_label("when_the_pool_changed")


def when_the_queue_is_stale() -> AutomationCondition:
    """True if the embeddings changed, or, every ten minutes, if labels changed."""
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
"""Cron schedule, between two evaluations of the queue. The report is read now and then; and its job
must not slow down the staging that follows a training."""


def when_the_report_is_old() -> AutomationCondition:
    """True if labels or the model changed since the last report; evaluated every ten minutes.

    Of its inputs only ``annotations`` must exist: without a model or a queue the report is shorter.
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
    """Return the conditions of the assets that serve labelling in Label Studio, by asset."""
    return {
        "embeddings": when_the_pool_changed(),
        "labelling_queue": when_the_queue_is_stale(),
        "labelling_report": when_the_report_is_old(),
    }


def conditions(store: ObjectStore) -> dict[str, AutomationCondition]:
    """Return the conditions of ``AUTOMATED_LINE``, by asset; ``store`` has the records of assets."""
    # raw_images, annotations and release_approval have none: sensors request them.
    return {
        "dataset": when_inputs_changed(),
        "trained_model": when_retraining_is_due(store),
        "evaluation_report": when_candidate_changed(),
        "registered_package": when_version_is_new(),
        "staging_endpoint": when_version_is_new(),
        "prod_endpoint": when_approved(),
    }


def automation(
    store: ObjectStore, *, labelling: bool = False, challenging: bool = False
) -> dict[str, AutomationCondition]:
    """Return the automation condition of every asset that has one, by asset.

    Args:
        store: has the records of assets.
        labelling: whether a Label Studio is configured.
        challenging: whether the settings ask for challengers.
    """
    known = conditions(store) | (labelling_conditions() if labelling else {})
    if challenging:
        known["challenger_model"] = when_a_challenger_is_due(store)
    return known


def automated(spec: dg.AssetSpec, known: Mapping[str, AutomationCondition]) -> dg.AssetSpec:
    """Return ``spec`` with its condition of ``known`` (by asset), if it has one."""
    condition = known.get(spec.key.to_user_string())
    return spec.replace_attributes(automation_condition=condition) if condition else spec
