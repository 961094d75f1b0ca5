"""Where the line stands: gathered once, for the command line and for scripts."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.evaluation_records import newest_evaluation
from assets.image_index import RAW, diff_listing, images_table, newest_rows, usable_images
from assets.label_index import labelled_view, labels_table, new_snapshots
from assets.line import latest_metadata
from assets.verdicts import MODEL_CHECKS, STAGING_CHECKS, newest_verdict
from imgclf_dagster.definitions import build_endpoints, build_registry
from imgclf_dagster.home import open_store
from imgclf_dagster.settings import Settings
from resources.endpoint_host import EndpointHost, HostUnavailable
from resources.model_registry import ModelPackage
from resources.object_store import ObjectStore

Facts = dict[str, Any]


def gather_status(settings: Settings, instance: dg.DagsterInstance) -> Facts:
    """Everything ``imgclf status`` shows, as JSON-ready values."""
    store = open_store(settings)
    store.require()
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    packages = registry.list()
    rows = newest_rows(images_table(store).read())
    usable = set(usable_images(rows)["sha256"].to_pylist())
    images, labels = _images(store, rows, usable), _labels(store, settings, usable)
    candidate = _candidate(store, instance, packages)
    stages = {stage: _stage(endpoints, stage, packages) for stage in ("staging", "prod")}
    return {
        "profile": settings.profile,
        "home": str(settings.home),
        "images": images,
        "labels": labels,
        "dataset": _dataset(instance),
        "candidate": candidate,
        **stages,
        "waiting": _waiting(images, labels, candidate, stages, packages),
    }


def _images(store: ObjectStore, rows: pa.Table, usable: set[str]) -> Facts:
    diff = diff_listing(store.list_table(RAW), rows)
    return {
        "usable": len(usable),
        "rejected": int(pc.sum(pc.equal(rows["status"], "rejected")).as_py() or 0),
        "not_indexed": diff.new.num_rows,
    }


def _labels(store: ObjectStore, settings: Settings, usable: set[str]) -> Facts:
    """Labels and conflicts of usable images; a label of an image that is gone counts for nothing."""
    view = labelled_view(store, settings.labels)
    conflicts = {row["sha256"] for row in view.conflicts} & usable
    return {
        "labelled": len((view.labels.keys() & usable) - conflicts),
        "conflicts": len(conflicts),
        "not_indexed": len(new_snapshots(store, labels_table(store))),
    }


def _dataset(instance: dg.DagsterInstance) -> Facts | None:
    found = latest_metadata(instance, "dataset")
    if not found:
        return None
    return {
        "version": found["dataset_version"],
        "images": found["images"],
        "classes": found["classes"],
    }


def _candidate(
    store: ObjectStore, instance: dg.DagsterInstance, packages: Sequence[ModelPackage]
) -> Facts | None:
    version = latest_metadata(instance, "evaluation_report").get("model_version")
    evaluation = newest_evaluation(store, str(version)) if version else None
    if evaluation is None:
        return None
    failed = {}
    for check in (*MODEL_CHECKS, *STAGING_CHECKS):
        verdict = newest_verdict(store, f"trained_model/{version}", check)
        if verdict is not None and verdict.blocks:
            failed[check] = verdict.reason
    package = next((item for item in packages if item.model_version == version), None)
    return {
        "model_version": version,
        "metrics": evaluation["metrics"],
        "dataset_version": evaluation["dataset_version"],
        "failed_checks": failed,
        "approval_status": package.approval_status if package else None,
    }


def _stage(endpoints: EndpointHost, stage: Any, packages: Sequence[ModelPackage]) -> Facts | None:
    record = endpoints.current(stage)
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
        "differing_settings": _differing(endpoints, stage),
        "metrics": package.metrics if package else {},
    }


def _differing(endpoints: EndpointHost, stage: Any) -> list[str]:
    try:
        return endpoints.differing_settings(stage)
    except HostUnavailable:  # of which "endpoint" tells
        return []


def _waiting(
    images: Facts,
    labels: Facts,
    candidate: Facts | None,
    stages: dict[str, Facts | None],
    packages: Sequence[ModelPackage],
) -> list[str]:
    """What waits, and for whom, in the order of the line."""
    waiting = []
    if images["not_indexed"] or labels["not_indexed"]:
        waiting.append(
            f"{images['not_indexed']} objects and {labels['not_indexed']} labels wait for the line "
            "(imgclf run, or imgclf up)"
        )
    unlabelled = images["usable"] - labels["labelled"] - labels["conflicts"]
    if unlabelled > 0:
        waiting.append(f"{unlabelled} images wait for a label")
    if labels["conflicts"]:
        waiting.append(f"{labels['conflicts']} images with conflicting labels wait for a person")
    if candidate and candidate["failed_checks"]:
        names = ", ".join(candidate["failed_checks"])
        waiting.append(f"{candidate['model_version']} is held back by {names}")
    staged = stages["staging"]
    status = {package.digest: package.approval_status for package in packages}
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
