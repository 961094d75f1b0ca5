"""Labelling: what people (and ingests) said about the images."""

from collections import Counter, defaultdict
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.label_index import (
    ANNOTATIONS,
    index_snapshots,
    labels_table,
    labels_version,
    schema_version,
    usable_labels,
)
from assets.line import OWNERS, Line
from assets.retries import retried
from labelling.agreement import Agreement, agreement
from labelling.consensus import annotations_only, decide
from labelling.schema import Task
from resources.arrivals import LABEL_ARRIVALS, pending_notices
from resources.object_store import ObjectStore

REJECTIONS_SHOWN = 50
DISPUTES_SHOWN = 50


@dg.asset(
    group_name="labelling",
    kinds={"parquet"},
    owners=OWNERS,
    code_version="1",
    description="The label table: every annotation snapshot with who said what, when and where; "
    "of each annotator the newest word on an image counts, and several vote; unknown labels are "
    "rejected by name.",
)
@retried
def annotations(
    context: dg.AssetExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.MaterializeResult:
    """Bring the label table up to date with ``annotations/``."""
    store.require()
    table = labels_table(store)
    notices = pending_notices(store, LABEL_ARRIVALS) if store.is_bucket else []
    new = index_snapshots(store, table)
    store.delete_all(notices)
    context.log.info(f"{new} new annotation snapshots")
    rows = table.read()
    usable, rejected = usable_labels(rows, line.labels)
    for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist():
        context.log.warning(f"{row['snapshot_key']} is rejected: {row['reason']}")
    decisions = decide(usable, line.labels.task)
    labels = decisions.labels
    version = labels_version(decisions, rejected)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "content_version": version,
            "schema_version": schema_version(line.labels),
            "labelled_images": labels.num_rows,
            "snapshots": rows.num_rows,
            "new": new,
            "rejected": rejected.num_rows,
            "rejections": dg.MetadataValue.md(_rejection_table(rejected)),
            "labels": dg.MetadataValue.md(_count_table(labels)),
            "conflicts": decisions.conflicts.num_rows,
            **_people_metadata(usable, line.labels.task),
            "table": f"tables/{table.name}/",
            "source": ANNOTATIONS,
        },
    )


def _people_metadata(usable: pa.Table, task: Task) -> dict[str, Any]:
    """What annotators did, and how well they agree; nothing where nobody did anything."""
    annotations_now = annotations_only(usable)
    if not annotations_now.num_rows:
        return {}
    found = agreement(usable, task)
    shown: dict[str, Any] = {
        "skipped": pc.sum(pc.fill_null(annotations_now["skipped"], False)).as_py(),
        "annotators": dg.MetadataValue.md(_annotator_table(annotations_now)),
        "labelled_twice": found.images,
        "disagreements": len(found.disagreements),
        "agreement": dg.MetadataValue.md(agreement_tables(found)),
    }
    if found.alpha is not None:
        shown["krippendorff_alpha"] = round(found.alpha, 3)
    return shown


def _annotator_table(rows: pa.Table) -> str:
    did: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows.select(["annotator", "cancelled", "skipped"]).to_pylist():
        what = "deleted" if row["cancelled"] else "skipped" if row["skipped"] else "labelled"
        did[row["annotator"]][what] += 1
    lines = ["| annotator | labelled | skipped | deleted |", "|---|---|---|---|"]
    lines += [
        f"| {_cell(who)} | {n['labelled']} | {n['skipped']} | {n['deleted']} |"
        for who, n in sorted(did.items())
    ]
    return "\n".join(lines)


def agreement_tables(found: Agreement) -> str:
    """Agreement by pair of annotators and by label, and the images in dispute, as Markdown."""
    if not found.images:
        return "no image was labelled by two people yet"
    lines = [
        f"{found.images} images were labelled by two people or more; on {_share(found.same)} they "
        f"say the same. Krippendorff's alpha: {_number(found.alpha)} (1: perfect, 0: chance).",
        "\n| annotators | images | same | Cohen's kappa |\n|---|---|---|---|",
        *(
            f"| {_cell(pair.annotator_a)}, {_cell(pair.annotator_b)} | {pair.images} "
            f"| {_share(pair.same)} | {_number(pair.kappa)} |"
            for pair in found.pairs
        ),
        "\n| label | images | same | alpha |\n|---|---|---|---|",
        *(
            f"| {_cell(item.label)} | {item.images} | {_share(item.same)} | {_number(item.alpha)} |"
            for item in found.classes
        ),
    ]
    if found.disagreements:
        lines.append("\n| in dispute | who says what |\n|---|---|")
    for item in found.disagreements[:DISPUTES_SHOWN]:
        said = "; ".join(f"{who}: {', '.join(labels)}" for who, labels in item.labels.items())
        lines.append(f"| `{item.sha256[:12]}` | {_cell(said)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _rejection_table(rejected: pa.Table) -> str:
    if not rejected.num_rows:
        return "none"
    lines = ["| snapshot | by | reason |", "|---|---|---|"]
    for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist():
        cells = f"{_cell(row['annotator'])} | {_cell(row['reason'])}"
        lines.append(f"| `{row['snapshot_key']}` | {cells} |")
    if rejected.num_rows > REJECTIONS_SHOWN:
        lines.append(f"| … and {rejected.num_rows - REJECTIONS_SHOWN} more | | |")
    return "\n".join(lines)


def _count_table(labels: pa.Table) -> str:
    counts = pc.value_counts(pc.list_flatten(labels["labels"])).to_pylist()
    rows = sorted((item["values"], item["counts"]) for item in counts)
    return "\n".join(
        ["| label | images |", "|---|---|", *[f"| {name} | {n} |" for name, n in rows]]
    )
