"""Labelling: what people (and ingests) said about the images."""

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
from labelling.consensus import decide
from resources.arrivals import LABEL_ARRIVALS, pending_notices
from resources.object_store import ObjectStore

REJECTIONS_SHOWN = 50


@dg.asset(
    group_name="labelling",
    kinds={"parquet"},
    owners=OWNERS,
    code_version="1",
    description="The label table: every annotation snapshot with who said what, when and where; "
    "the newest one of an image counts, unknown labels are rejected by name.",
)
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
            "table": f"tables/{table.name}/",
            "source": ANNOTATIONS,
        },
    )


def _rejection_table(rejected: pa.Table) -> str:
    if not rejected.num_rows:
        return "none"
    lines = ["| snapshot | by | reason |", "|---|---|---|"]
    for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist():
        reason = row["reason"].replace("|", "\\|")
        lines.append(f"| `{row['snapshot_key']}` | {row['annotator']} | {reason} |")
    if rejected.num_rows > REJECTIONS_SHOWN:
        lines.append(f"| … and {rejected.num_rows - REJECTIONS_SHOWN} more | | |")
    return "\n".join(lines)


def _count_table(labels: pa.Table) -> str:
    counts = pc.value_counts(pc.list_flatten(labels["labels"])).to_pylist()
    rows = sorted((item["values"], item["counts"]) for item in counts)
    return "\n".join(
        ["| label | images |", "|---|---|", *[f"| {name} | {n} |" for name, n in rows]]
    )
