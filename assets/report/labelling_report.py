"""The labelling report: statistics of the annotators' work, and the value of more labels."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from assets import markdown
from assets.annotations.annotations import annotations
from assets.annotations.label_index import judge_labels, labels_table
from assets.line import OWNERS, Line, fingerprint
from assets.pictures import optional_picture, picture
from assets.queue.ledger import queued_images
from assets.records.labelling_queue import LabellingQueueRecord
from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from assets.report.curve_job import curve_job, why_no_curve
from assets.retries import retried
from labelling.labels.agreement import agreement
from labelling.labels.foreign_text import visible
from labelling.labels.snapshots import epoch_ms
from labelling.report.curve_report import PICTURE_FILE, REPORT_FILE, CurveReport
from labelling.report.page import page
from labelling.report.report import AgreementSummary, LabellingReport, advice
from labelling.report.statistics import Share, statistics
from labelling.report.words import percent
from object_store.contents.reading import parse_record
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import LabelStudioError

REPORTS = "reports/labelling/"


@dg.asset(
    group_name="labelling",
    kinds={"html", "scikitlearn"},
    owners=OWNERS,
    code_version="1",
    deps=[annotations, "trained_model", "labelling_queue"],
    description="Numbers for the lead of the labelling: labels an hour, how often pre-labels are "
    "kept, agreement, time per task, what more labels of each class would bring, labels saved "
    "against random order. As metadata, and as a page in the store.",
)
@retried
def labelling_report(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    compute: Compute,
    label_studio: LabelStudioClient,
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Compute the numbers of the labelling, and write the page if they changed.

    Args:
        context: Dagster's context.
        store: the object store.
        compute: where jobs run.
        label_studio: the Label Studio server; it may be not configured.
        line: the settings of the line.

    Returns:
        The numbers, as metadata.
    """
    store.require()
    rows = labels_table(store).read()
    curve, about = _learning_curve(context, store, compute)
    report = _report(context, store, line, label_studio, rows, curve)
    key = _write_unless_same(store, report)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(_version(report)),
        metadata={
            **_numbers(report),
            **_curve_metadata(report),
            **about,
            "page": f"{key}.html",
            "numbers": f"{key}.json",
        },
    )


def _learning_curve(
    context: dg.AssetExecutionContext, store: ObjectStore, compute: Compute
) -> tuple[CurveReport | str, dict[str, Any]]:
    """Return the learning curve of the newest model's data set, or why there is none; and metadata
    of the job that measured it.
    """
    model = newest_materialization(context.instance, store, TrainedModelRecord)
    if model is None:
        return "no model was trained yet", {}
    if why := why_no_curve(store, model):
        return why, {}
    spec = curve_job(store, compute, model)
    result = compute.run(context, spec)
    outputs = compute.outputs(spec.name, spec.kind)
    link = f"models/{spec.name}/processing/{PICTURE_FILE}"
    about = {
        "job": spec.name,
        "reused": result.reused,
        "seconds": round(result.seconds, 1),
        **result.details,
        **optional_picture(
            "learning curve",
            lambda: (
                picture(outputs[PICTURE_FILE], alt="learning curve", link=link)
                if PICTURE_FILE in outputs
                else None
            ),
        ),
    }
    key = f"models/{spec.name}/processing/{REPORT_FILE}"
    return parse_record(store, key, outputs[REPORT_FILE], CurveReport), about


def _report(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    line: Line,
    label_studio: LabelStudioClient,
    rows: pa.Table,
    curve: CurveReport | str,
) -> LabellingReport:
    judged = judge_labels(rows, line.labels)
    work = _label_studio_snapshots(judged.counted.rows, judged.rejected)
    reasons = {
        sha: image.reason.replace("_", " ")
        for sha, image in queued_images(store, set(work["sha256"].to_pylist())).items()
    }
    queue = newest_materialization(context.instance, store, LabellingQueueRecord)
    project = queue.project if queue else None
    return LabellingReport(
        project=line.project,
        task=line.labels.task,
        at=datetime.now(UTC),
        labelled=judged.decisions.labels.num_rows,
        conflicts=judged.decisions.conflicts.num_rows,
        open_tasks=_open_tasks(context.log, label_studio),
        statistics=statistics(work, reasons),
        agreement=AgreementSummary.of(agreement(judged.usable, line.labels.task)),
        curve=curve if isinstance(curve, CurveReport) else None,
        why_no_curve=curve if isinstance(curve, str) else "",
        label_studio_url=project or label_studio.url,
    )


def _open_tasks(log: dg.DagsterLogManager, label_studio: LabelStudioClient) -> int | None:
    """Return the number of unlabelled tasks in Label Studio; ``None`` if it is not available."""
    if not label_studio.configured:
        return None
    try:
        project = label_studio.project.read()
    except LabelStudioError as error:
        log.warning(visible(f"the report lacks the length of the queue: {error}"))
        return None
    return max(0, project.tasks - project.labelled)


def _label_studio_snapshots(rows: pa.Table, rejected: pa.Table) -> pa.Table:
    """Return the snapshots of Label Studio's annotations, without annotations that were rejected."""
    rows = rows.filter(pc.equal(rows["source"], "label_studio"))
    wrong = pc.is_in(rows["unique_id"], value_set=rejected["unique_id"].drop_null())
    return rows.filter(pc.invert(wrong))


def _write_unless_same(store: ObjectStore, report: LabellingReport) -> str:
    """Write the report unless the newest one has the same content; return its key without suffix.

    The JSON is written last and marks the report as complete, so the next run replaces a report
    that a killed run left unfinished.
    """
    known = sorted(info.key for info in store.list(REPORTS) if info.key.endswith(".json"))
    if known and _is_same(store.get(known[-1]), report):
        return known[-1].removesuffix(".json")
    stamp = epoch_ms(report.at)
    while not store.create(f"{REPORTS}{stamp:013d}.html", page(report).encode()):
        stamp += 1
    store.put(f"{REPORTS}{stamp:013d}.json", report.model_dump_json(indent=1).encode())
    return f"{REPORTS}{stamp:013d}"


def _is_same(data: bytes, report: LabellingReport) -> bool:
    """Whether ``data`` is a report with the same content; a report of an older format is not."""
    try:
        return LabellingReport.model_validate_json(data).same_as(report)
    except ValidationError:
        return False


def _version(report: LabellingReport) -> str:
    content = json.loads(report.model_dump_json(exclude={"at"}))
    return fingerprint(content, 16)


# --- metadata ------------------------------------------------------------------------------


def _numbers(report: LabellingReport) -> dict[str, Any]:
    work = report.statistics
    found: dict[str, Any] = {
        "labelled_images": report.labelled,
        "annotations": work.annotations,
        "skipped": work.skipped.count,
        "hours": round(work.speed.hours, 2),
    }
    numbers: dict[str, float | None] = {
        "labels_per_hour": work.speed.per_hour,
        "prelabels_kept": work.accepted.value,
        "seconds_per_task": work.times.median_s,
        "krippendorff_alpha": report.agreement.alpha,
    }
    found |= {name: round(value, 3) for name, value in numbers.items() if value is not None}
    if work.accepted_by_class:
        found["prelabels kept by class"] = _shares_table("class", work.accepted_by_class)
        versions = {one.model_version: one.accepted for one in work.accepted_by_version}
        found["prelabels kept by model version"] = _shares_table("model version", versions)
        found["prelabels kept by reason"] = _shares_table("reason", work.accepted_by_reason)
    return found


def _shares_table(name: str, shares: Mapping[str, Share]) -> dg.MetadataValue:
    rows = (
        [label, percent(one.value), f"{percent(one.low)} to {percent(one.high)}", one.of]
        for label, one in shares.items()
    )
    return dg.MetadataValue.md(markdown.table([name, "kept", "95% interval", "of"], rows))


def _curve_metadata(report: LabellingReport) -> dict[str, Any]:
    if report.curve is None:
        return {"learning curve": f"none: {report.why_no_curve}"}
    text = markdown.bullets(advice(report.curve)) or "cannot tell yet"
    found: dict[str, Any] = {"what more labels would bring": dg.MetadataValue.md(text)}
    saved = report.saved
    if saved is not None and saved.value is not None and saved.high is not None:
        found["labels_saved"] = round(saved.value)
        found["labels saved, 80% interval"] = f"{saved.low or 0:.0f} to {saved.high:.0f}"
    return found
