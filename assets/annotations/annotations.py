"""The asset ``annotations``: the label table, from annotators and from ingested labels."""

from collections import Counter, defaultdict
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets import markdown
from assets.annotations.label_index import (
    ANNOTATIONS,
    index_snapshots,
    judge_labels,
    labels_table,
    labels_version,
    schema_version,
)
from assets.line import OWNERS, Line
from assets.records.annotations import AnnotationsRecord
from assets.records.materializations import record_materialization
from assets.retries import retried
from labelling.labels.agreement import Agreement, Disagreement, agreement
from labelling.labels.consensus import annotations_only
from labelling.labels.counted import Counted
from labelling.labels.foreign_text import visible
from labelling.labels.schema import NONE_OF_THEM, Task, in_words
from labelling.report.words import count
from object_store.store import ObjectStore
from resources.arrivals.arrivals import LABEL_ARRIVALS, pending_notices

REJECTIONS_SHOWN = 50
DISPUTES_SHOWN = 50


@dg.asset(
    group_name="labelling",
    kinds={"parquet"},
    owners=OWNERS,
    code_version="1",
    description="The label table: every annotation snapshot with its author, labels, time and "
    "source. For each annotator the newest annotation of an image counts; several annotators "
    "vote. Unknown labels are rejected and named.",
)
@retried
def annotations(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Bring the label table up to date with ``annotations/``."""
    store.require()
    table = labels_table(store, on_damage=context.log.warning)
    notices = pending_notices(store, LABEL_ARRIVALS) if store.is_bucket else []
    new = index_snapshots(store, table)
    store.delete_all(notices)
    context.log.info(f"{new} new annotation snapshots")
    rows = table.read()
    judged = judge_labels(rows, line.labels)
    usable, rejected, decisions = judged.usable, judged.standing, judged.decisions
    for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist():
        context.log.warning(visible(f"{row['snapshot_key']} is rejected: {row['reason']}"))
    labels = decisions.labels
    version = labels_version(decisions, judged.rejected)
    found = AnnotationsRecord(
        content_version=version, label_schema=schema_version(line.labels), snapshots=rows.num_rows
    )
    record_materialization(context, store, found)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "content_version": version,
            "labelled_images": labels.num_rows,
            "snapshots": rows.num_rows,
            "new": new,
            "rejected": rejected.num_rows,
            "rejections": dg.MetadataValue.md(_rejection_table(rejected)),
            "labels": dg.MetadataValue.md(_count_table(labels)),
            "conflicts": decisions.conflicts.num_rows,
            **_people_metadata(usable, line.labels.task),
            **_decided_metadata(judged.counted),
            "table": f"tables/{table.name}/",
            "source": ANNOTATIONS,
        },
    )


def _decided_metadata(found: Counted) -> dict[str, Any]:
    """Return metadata of renames and withdrawals (``imgclf labels``); empty if there are none."""
    if not found.history.events:
        return {}
    names = sorted(found.history.aliases().items())
    return {
        "former_names": dg.MetadataValue.md(markdown.table(["label", "counts as"], names)),
        "taken_back": found.withdrawn.num_rows,
    }


def _people_metadata(usable: pa.Table, task: Task) -> dict[str, Any]:
    """Return metadata of annotators' work and agreement; empty if there are no annotations."""
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
    done = ("labelled", "skipped", "deleted")
    return markdown.table(
        ["annotator", *done], ([who, *(n[what] for what in done)] for who, n in sorted(did.items()))
    )


def agreement_tables(found: Agreement) -> str:
    """Return the agreement by pair of annotators and by label, and the disputed images, as Markdown."""
    if not found.images:
        return "no image was labelled by two people yet"
    parts = [
        f"{count(found.images, 'image was', 'images were')} labelled by two people or more; they "
        f"agree on {_share(found.same)}. Krippendorff's alpha: {_number(found.alpha)} (1: perfect, 0: chance).",
        markdown.table(
            ["annotators", "images", "same", "Cohen's kappa"],
            (
                [
                    f"{pair.annotator_a}, {pair.annotator_b}",
                    pair.images,
                    _share(pair.same),
                    _number(pair.kappa),
                ]
                for pair in found.pairs
            ),
        ),
        markdown.table(
            ["label", "images", "same", "alpha"],
            (
                [item.label, item.images, _share(item.same), _number(item.alpha)]
                for item in found.classes
            ),
        ),
    ]
    if found.disagreements:
        shown = found.disagreements[:DISPUTES_SHOWN]
        rows = ([markdown.code(item.sha256[:12]), _labels_by_annotator(item)] for item in shown)
        parts.append(markdown.table(["image in dispute", "labels by annotator"], rows))
    return "\n\n".join(parts)


def _labels_by_annotator(item: Disagreement) -> str:
    return "; ".join(
        f"{annotator}: {in_words(labels)}" for annotator, labels in item.labels.items()
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _rejection_table(rejected: pa.Table) -> str:
    if not rejected.num_rows:
        return "none"
    rows = [
        [markdown.code(row["snapshot_key"]), row["annotator"], row["reason"]]
        for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist()
    ]
    if rejected.num_rows > REJECTIONS_SHOWN:
        rows.append([f"… and {rejected.num_rows - REJECTIONS_SHOWN} more", "", ""])
    return markdown.table(["snapshot", "by", "reason"], rows)


def _count_table(labels: pa.Table) -> str:
    counts = pc.value_counts(pc.list_flatten(labels["labels"])).to_pylist()
    rows = sorted((item["values"], item["counts"]) for item in counts)
    if negatives := pc.sum(pc.equal(pc.list_value_length(labels["labels"]), 0)).as_py():
        rows.append((NONE_OF_THEM, negatives))
    return markdown.table(["label", "images"], rows)
