"""What was refused last and why, which decisions wait, and the next command."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.dataset.versions import newest_sources
from assets.evaluation.candidate import candidate_of
from assets.records.annotations import AnnotationsRecord
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.dataset import DatasetRecord
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.materializations import materialization_of
from assets.records.raw_images import RawImagesRecord
from assets.records.trained_model import TrainedModelRecord
from imgclf_dagster.decisions import (
    live_deployment,
    previous_deployment,
    undeployed_approvals,
)
from imgclf_dagster.status.checks import checks_failed
from imgclf_dagster.status.made import NewestRecords
from imgclf_dagster.status.runs import last_failure
from object_store.contents.damage import DamagedObject
from object_store.errors import StoreError
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelPackage, ModelRegistry
from serving.deployments import RecordError

LOOKED_AT = 5
"""Number of last evaluations searched for a model that was held back."""

SEARCH = "hyperparameters"
"""Asset of `imgclf tune`: the line goes on without it, so a search that ended early holds up nothing."""

Facts = dict[str, Any]


def last_refused(
    store: ObjectStore,
    instance: dg.DagsterInstance,
    newest: NewestRecords,
    packages: Sequence[ModelPackage],
) -> list[Facts]:
    """Return the last held-back model, the last rejected package and the last failed run.

    Args:
        store: holds the verdicts.
        instance: Dagster's instance.
        newest: the newest records.
        packages: all packages of the registry.

    Returns:
        At most three items, each with ``kind``, ``what`` and ``why``.
    """
    failed = last_failure(instance)
    return [
        *_held_back(store, instance, newest, packages),
        *_rejected(packages),
        *([{"kind": "run", **failed}] if failed else []),
    ]


def _held_back(
    store: ObjectStore,
    instance: dg.DagsterInstance,
    newest: NewestRecords,
    packages: Sequence[ModelPackage],
) -> list[Facts]:
    registered = {package.model_version for package in packages}
    model = newest.of(TrainedModelRecord)
    versions = [model.model_version] if model else []
    page = instance.fetch_materializations(dg.AssetKey("evaluation_report"), limit=LOOKED_AT)
    for record in page.records:
        try:
            made = materialization_of(store, record.event_log_entry, EvaluationReportRecord)
            versions += [made.model_version] if made else []
        except DamagedObject as damage:
            newest.note(damage)
    for version in dict.fromkeys(versions):
        if version in registered:
            return []  # what was held back before is made good
        if failed := checks_failed(store, "trained_model", version):
            why = "; ".join(f"{check}: {reason}" for check, reason in failed.items())
            return [{"kind": "candidate", "what": version, "why": why}]
    return []


def _rejected(packages: Sequence[ModelPackage]) -> list[Facts]:
    rejected = [package for package in packages if package.approval_status == "Rejected"]
    if not rejected:
        return []
    last = max(rejected, key=lambda package: package.decision_order)
    return [
        {
            "kind": "package",
            "what": last.model_version,
            "why": last.approval_reason,
            "by": last.approver,
            "at": last.decided_at.isoformat(timespec="seconds"),
        }
    ]


def unfinished(store: ObjectStore, newest: NewestRecords, runs: Sequence[Facts]) -> list[str]:
    """Return sentences on assets older than their inputs.

    Args:
        store: holds the sources of the data sets.
        newest: the newest records.
        runs: the runs under way, as ``runs_under_way`` returns them.
    """
    dataset = newest.of(DatasetRecord)
    if dataset is None:
        return []
    waiting = []
    version, model = dataset.dataset_version, newest.of(TrainedModelRecord)
    images = newest.of(RawImagesRecord)
    labels = newest.of(AnnotationsRecord)
    if images and labels:
        sources = {one.asset: one.content_version for one in (images, labels)}
        if sources != _sources(store, newest, version):
            run = run_making(runs, "dataset")
            then = f": run {run} makes a new one" if run else f" ({by_hand(runs)})"
            waiting.append(f"images or labels are newer than the data set{then}")
    if model is None or (version != model.dataset_version and not model.dataset_named):
        waiting.append(_not_trained_on(store, dataset, runs))
    evaluated = newest.of(EvaluationReportRecord)
    candidate = candidate_of(model, newest.of(ChallengerModelRecord)) if model else None
    if candidate and (evaluated is None or evaluated.model_version != candidate.model_version):
        name = candidate.model_version
        run = run_making(runs, "evaluation_report")
        if not run:
            waiting.append(f"{name} is not evaluated yet ({by_hand(runs)})")
        elif run_making(runs, "trained_model") == run:  # it may train another model, or keep this
            waiting.append(f"{name} is not evaluated yet: wait for run {run}")
        else:
            waiting.append(f"{name} is being evaluated (run {run})")
    if run := run_making(runs, "challenger_model"):
        waiting.append(f"a challenger is trained and compared with the candidate (run {run})")
    return waiting


def by_hand(runs: Sequence[Facts]) -> str:
    """Return the command that brings the line on, and after which run under way to give it."""
    after = f", once run {str(runs[0]['run_id'])[:8]} has ended" if runs else ""
    return f"imgclf run{after}"


def run_making(runs: Sequence[Facts], asset: str) -> str:
    """Return the short id of the run under way that is still to make ``asset``; "" if none is."""
    found = (run for run in runs if asset in run["makes"] and asset not in run["done"])
    return next((str(run["run_id"])[:8] for run in found), "")


def _not_trained_on(store: ObjectStore, dataset: DatasetRecord, runs: Sequence[Facts]) -> str:
    version = dataset.dataset_version
    if checks_failed(store, "dataset", version):
        return f"data set {version} is not trained on: a check blocks it"
    if run := run_making(runs, "trained_model"):
        # Such a run may find that nothing changed, and then trains on this very data set.
        if run_making(runs, "dataset") == run:
            return f"data set {version} is not trained on yet: run {run} makes it again and trains"
        return f"data set {version} is being trained on (run {run})"
    due = (dataset.retraining or "").removeprefix("due: ")
    return (
        f"data set {version} is not trained on yet{f': {due}' if due else ''} "
        f"({by_hand(runs) if runs else 'imgclf run trains at once'})"
    )


def _sources(store: ObjectStore, newest: NewestRecords, dataset: str) -> dict[str, str] | None:
    try:
        return newest_sources(store, dataset)
    except StoreError as error:
        newest.note(error)
        return None


def decisions_waiting(
    endpoints: Endpoints, registry: ModelRegistry, *, up: bool = False
) -> list[str]:
    """Return sentences on decisions that production does not follow yet.

    Args:
        endpoints: what serves.
        registry: the packages and their decisions.
        up: whether ``imgclf up`` runs, which follows them.
    """
    try:
        serving = live_deployment(endpoints, registry)
        approved = undeployed_approvals(endpoints, registry)
        before = previous_deployment(endpoints, registry)
    except (StoreError, RecordError):  # shown as the problem of "prod"
        return []
    waiting = [
        f"{package.model_version} is approved by {package.approver or 'nobody'} and not in "
        f"production yet ({'imgclf up deploys it' if up else 'imgclf run, or imgclf up'})"
        for package in approved[:1]
    ]
    rejected = next(
        (
            package
            for package in registry.list()
            if serving
            and package.digest == serving.digest
            and package.approval_status == "Rejected"
        ),
        None,
    )
    if rejected and not waiting:
        way = (
            f" (imgclf run returns to {before.model_version})"
            if before
            else ": no approved version is before it to return to; approve another one"
        )
        waiting.append(
            f"{rejected.model_version} was rejected by {rejected.approver} and is still in "
            f"production{way}"
        )
    return waiting


def next_command(facts: Facts, *, is_up: bool) -> str:
    """What a person can do next to bring the line on, as a command where one does it."""
    images, labels, live = facts["images"], facts["labels"], facts["prod"]
    arrived = images["not_indexed"] or labels["not_indexed"]
    blocking, damaged = facts["blocking"], facts["damaged"]
    steps = (
        (live and live["problem"], 'imgclf rollback --reason "…"'),
        (not (images["usable"] or images["not_indexed"]), "imgclf ingest FOLDER"),
        (facts["runs"], "wait: a run is under way"),
        (damaged, str(damaged[0]["remedy"]) if damaged else ""),
        (arrived, "wait: imgclf up looks at what came" if is_up else "imgclf run"),
        (blocking, str(blocking[0]["remedy"]) if blocking else ""),
        (
            not labels["labelled"],
            "label images: imgclf ingest FOLDER (a sub-folder for each class), "
            "or imgclf up --label-studio",
        ),
    )
    return next((step for is_due, step in steps if is_due), "") or _next_of_a_model(facts)


def _next_of_a_model(facts: Facts) -> str:
    candidate, staged, live = facts["candidate"], facts["staging"], facts["prod"]
    # Running the same again would only fail again.
    failed = [item for item in facts["refused"] if item["kind"] == "run" and item["what"] != SEARCH]
    if stopped := [item["what"] for item in failed if not item["interrupted"]]:
        return f"mend what stopped the last run of {stopped[0]} (above), then imgclf run"
    if failed or candidate is None or candidate["approval_status"] is None:
        return "imgclf run"
    if any("imgclf run" in text for text in facts["waiting"]):
        return "imgclf run"
    if staged and any("imgclf approve" in text for text in facts["waiting"]):
        return f'imgclf approve {staged["model_version"]} --reason "…"'
    if live and live["endpoint"] == "not running":
        return "imgclf up"
    return "imgclf predict FILE, or imgclf ingest FOLDER for more images"
