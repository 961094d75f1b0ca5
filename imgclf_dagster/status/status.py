"""The state of the line, gathered once for the command line and for scripts."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import labelled_view, labels_table, new_snapshots
from assets.dataset.splits.former_splits import former_test_split
from assets.evaluation.records import newest_evaluation
from assets.ingestion.image_index import RAW, diff_listing, images_table, newest_rows, usable_images
from assets.records.dataset import DatasetRecord
from assets.records.evaluation_report import EvaluationReportRecord
from imgclf_dagster.processes.presence import is_up
from imgclf_dagster.profiles.chosen import build_endpoints, build_registry
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings
from imgclf_dagster.status.checks import blocking_checks, checks_failed
from imgclf_dagster.status.jobs import jobs_under_way
from imgclf_dagster.status.made import NewestRecords
from imgclf_dagster.status.next_step import (
    by_hand,
    decisions_waiting,
    last_refused,
    next_command,
    run_making,
    unfinished,
)
from imgclf_dagster.status.runs import runs_under_way
from imgclf_dagster.status.scores import same_images
from labelling.report.words import count
from object_store.errors import StoreError
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints, HostUnavailable
from resources.registry.registry import ModelPackage
from serving.deployments import STAGES, RecordError, Stage

Facts = dict[str, Any]


def gather_status(settings: Settings, instance: dg.DagsterInstance) -> Facts:
    """Return everything that ``imgclf status`` shows, as values that ``json`` can serialize.

    Raises:
        StoreError: the store is missing or does not answer.
    """
    store = open_store(settings)
    store.require()
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    packages = registry.list()
    newest, runs = NewestRecords(instance, store), runs_under_way(instance)
    blocking = blocking_checks(store, newest)
    rows = newest_rows(images_table(store).read())
    usable = set(usable_images(rows)["sha256"].to_pylist())
    images, labels = _images(store, rows, usable), _labels(store, settings, usable)
    candidate, up = _candidate(store, newest, packages), is_up(settings.run_dir)
    stages: dict[str, Facts | None] = {
        stage: _stage(endpoints, stage, packages) for stage in STAGES
    }
    models = [model for model in (candidate, *stages.values()) if model and model["digest"]]
    evaluated = [model["model_version"] for model in models]
    scores = same_images(store, evaluated, newest.note, settings.split.test)
    for model in models:
        model.update(scores.of(model["model_version"], model["digest"]))
    facts: Facts = {
        "profile": settings.profile,
        "home": str(settings.home),
        "images": images,
        "labels": labels,
        "dataset": _dataset(newest),
        "candidate": candidate,
        **stages,
        "blocking": blocking,
        "runs": runs,
        "jobs": jobs_under_way(settings, runs),
        "refused": last_refused(store, instance, newest, packages),
        "waiting": [
            *_arrived(images, labels, runs, up=up),
            *_waiting(images, labels, candidate, stages, packages, runs),
            *_of_former_splits(store, stages["staging"], packages),
            *unfinished(store, newest, runs),
            *decisions_waiting(endpoints, registry, up=up),
            *([scores.to_label] if scores.to_label else []),
        ],
    }
    facts["damaged"] = [
        {"key": damage.key, "flaw": damage.flaw, "remedy": damage.remedy}
        for damage in newest.damaged
    ]
    facts["next"] = next_command(facts, is_up=up)
    return facts


def _images(store: ObjectStore, rows: pa.Table, usable: set[str]) -> Facts:
    diff = diff_listing(store.list_table(RAW), rows)
    return {
        "usable": len(usable),
        "rejected": int(pc.sum(pc.equal(rows["status"], "rejected")).as_py() or 0),
        "not_indexed": diff.new.num_rows,
    }


def _labels(store: ObjectStore, settings: Settings, usable: set[str]) -> Facts:
    """Count labelled images, conflicts and unindexed label changes; only usable images count."""
    view = labelled_view(store, settings.labels)
    conflicts = {row["sha256"] for row in view.conflicts} & usable
    return {
        "labelled": len((view.labels.keys() & usable) - conflicts),
        "conflicts": len(conflicts),
        "not_indexed": len(new_snapshots(store, labels_table(store))),
    }


def _dataset(newest: NewestRecords) -> Facts | None:
    found = newest.of(DatasetRecord)
    if found is None:
        return None
    return {
        "version": found.dataset_version,
        "images": found.images,
        "classes": found.classes,
    }


def _candidate(
    store: ObjectStore, newest: NewestRecords, packages: Sequence[ModelPackage]
) -> Facts | None:
    made = newest.of(EvaluationReportRecord)
    version = made.model_version if made else ""
    try:
        evaluation = newest_evaluation(store, version) if version else None
    except (StoreError, ValueError) as error:
        newest.note(error)
        evaluation = None
    if evaluation is None:
        return None
    package = next((item for item in packages if item.model_version == version), None)
    return {
        "model_version": version,
        "digest": evaluation["digest"],
        "dataset_version": evaluation["dataset_version"],
        "failed_checks": dict(checks_failed(store, "trained_model", version)),
        "approval_status": package.approval_status if package else None,
    }


def _stage(endpoints: Endpoints, stage: Stage, packages: Sequence[ModelPackage]) -> Facts | None:
    try:
        record = endpoints.current(stage)
    except (StoreError, RecordError) as error:
        nothing: Facts = dict.fromkeys(_OF_A_STAGE, "")
        return {**nothing, "problem": str(error), "differing_settings": []}
    if record is None:
        return None
    package = next((item for item in packages if item.digest == record.digest), None)
    try:
        described = endpoints.describe(stage)
        answering: str = described.failure_reason or described.status
    except HostUnavailable:
        answering = "not running"
    return {
        "model_version": record.model_version,
        "digest": record.digest,
        "since": record.created_at.isoformat(timespec="seconds"),
        "deployed_by": record.deployed_by,
        "reason": record.reason,
        "endpoint": answering,
        "approval_status": package.approval_status if package else None,
        "differing_settings": _differing(endpoints, stage),
        "problem": ""
        if endpoints.objects.exists(record.model_key)
        else f"{record.model_key} is not in the store {endpoints.objects.url}",
    }


_OF_A_STAGE = ("model_version", "digest", "since", "deployed_by", "reason", "endpoint")


def _differing(endpoints: Endpoints, stage: Any) -> list[str]:
    try:
        return endpoints.differing_settings(stage)
    except HostUnavailable:  # shown as "endpoint"
        return []


def _of_former_splits(
    store: ObjectStore, staged: Facts | None, packages: Sequence[ModelPackage]
) -> list[str]:
    """Return notices on the scores of the staged package that the approver must know."""
    found = [item for item in packages if staged and item.digest == staged["digest"]]
    return [
        f"{package.model_version} waits, but {notice}"
        for package in found
        if package.approval_status == "PendingManualApproval"
        and (notice := former_test_split(store, package.dataset_version))
    ]


def _arrived(images: Facts, labels: Facts, runs: Sequence[Facts], *, up: bool) -> list[str]:
    """Return a sentence on objects and changes of labels that no run has looked at yet."""
    arrived = [
        count(images["not_indexed"], "object"),
        # snapshots of an image's labels, and events of imgclf labels
        count(labels["not_indexed"], "change of labels", "changes of labels"),
    ]
    arrived = [count_text for count_text in arrived if not count_text.startswith("0 ")]
    if not arrived:
        return []
    run = run_making(runs, "raw_images") or run_making(runs, "annotations")
    is_one = arrived[0].startswith("1 ") and len(arrived) == 1
    if run:
        then = f"run {run} takes {'it' if is_one else 'them'} in"
    elif up:
        then = f"imgclf up takes {'it' if is_one else 'them'} in"
    else:
        then = "imgclf run, or imgclf up"
    return [f"{' and '.join(arrived)} {'waits' if is_one else 'wait'} for the line ({then})"]


def _waiting(
    images: Facts,
    labels: Facts,
    candidate: Facts | None,
    stages: dict[str, Facts | None],
    packages: Sequence[ModelPackage],
    runs: Sequence[Facts] = (),
) -> list[str]:
    """Return sentences on what waits and for whom, in the order of the line."""
    waiting = []
    unlabelled = images["usable"] - labels["labelled"] - labels["conflicts"]
    if unlabelled > 0:
        waiting.append(f"{count(unlabelled, 'image waits', 'images wait')} for a label")
    if labels["conflicts"]:
        conflicts = count(labels["conflicts"], "image")
        wait, which = ("waits", "it") if labels["conflicts"] == 1 else ("wait", "each")
        waiting.append(
            f"{conflicts} with conflicting labels {wait} for a person: ingest {which} again in the "
            "folder of one class, take a label back (imgclf labels withdraw --file), or answer in "
            "Label Studio"
        )
    if candidate and candidate["failed_checks"]:
        names = ", ".join(candidate["failed_checks"])
        waiting.append(f"{candidate['model_version']} is held back by {names}")
    staged = stages["staging"]
    status = {package.digest: package.approval_status for package in packages}
    if candidate and not candidate["failed_checks"] and not candidate["approval_status"]:
        run = run_making(runs, "staging_endpoint")
        waiting.append(
            f"{candidate['model_version']} "
            + (
                f"is being registered and staged (run {run})"
                if run and not run_making(runs, "trained_model")
                else f"waits to be registered and staged ({by_hand(runs)})"
            )
        )
    for stage, facts in stages.items():
        if facts and facts["problem"]:
            remedy = (
                "imgclf rollback, or imgclf approve another" if stage == "prod" else "imgclf run"
            )
            waiting.append(f"the model of {stage} cannot be read: {facts['problem']} ({remedy})")
    if staged and status.get(staged["digest"]) == "PendingManualApproval":
        waiting.append(
            f"{staged['model_version']} waits for a person's approval "
            f"(imgclf approve {staged['model_version']} --reason …)"
        )
    for stage, facts in stages.items():
        if facts and facts["differing_settings"]:
            waiting.append(
                f"{stage} does not have today's {', '.join(facts['differing_settings'])} "
                f"(imgclf deploy endpoint {stage}, or the next model)"
            )
    return waiting
