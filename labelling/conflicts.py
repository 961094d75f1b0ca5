"""Label conflicts: the same image, labelled differently with nothing to say which is right."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

CONFLICTS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("labels_a", pa.list_(pa.string())),
        ("labels_b", pa.list_(pa.string())),
        ("snapshot_a", pa.string()),
        ("snapshot_b", pa.string()),
        ("annotated_at", pa.timestamp("us", tz="UTC")),
        ("different", pa.int32()),
    ]
)
"""One row an image: two of its ``different`` sets of labels, and the snapshots they are from."""


def find_conflicts(labels: pa.Table) -> pa.Table:
    """The images whose latest usable labels contradict each other, sorted by sha256.

    The latest label of an image counts, so a conflict is different sets of labels at the very
    same, latest time: everything one ingest says carries that ingest's time, so that is one
    data set calling byte-identical files by different names. Whoever labels the image later
    resolves it.

    Args:
        labels: a table in ``LABELS_SCHEMA``.
    """
    usable = labels.filter(pc.equal(labels["status"], "ok"))
    newest = usable.group_by("sha256").aggregate([("annotated_at", "max")])
    # Arrow cannot join tables that hold lists: join the positions, then take.
    positions = usable.select(["sha256", "annotated_at"]).append_column(
        "position", pa.array(range(usable.num_rows), pa.int64())
    )
    tied = positions.join(
        newest,
        keys=["sha256", "annotated_at"],
        right_keys=["sha256", "annotated_at_max"],
        join_type="left semi",
    )
    tied = usable.take(tied["position"])
    tied = tied.filter(pc.invert(tied["cancelled"]))
    return pa.Table.from_pylist(_contradictions(tied), schema=CONFLICTS_SCHEMA)


def _contradictions(tied: pa.Table) -> list[dict[str, object]]:
    sets: dict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
    times = {}
    for row in tied.sort_by([("sha256", "ascending"), ("snapshot_key", "ascending")]).to_pylist():
        sets[row["sha256"]].setdefault(tuple(sorted(row["labels"])), row["snapshot_key"])
        times[row["sha256"]] = row["annotated_at"]
    rows = []
    for sha256, found in sets.items():
        if len(found) < 2:
            continue
        (labels_a, snapshot_a), (labels_b, snapshot_b) = sorted(found.items())[:2]
        rows.append(
            {
                "sha256": sha256,
                "labels_a": labels_a,
                "labels_b": labels_b,
                "snapshot_a": snapshot_a,
                "snapshot_b": snapshot_b,
                "annotated_at": times[sha256],
                "different": len(found),
            }
        )
    return rows
