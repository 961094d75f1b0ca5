"""Assembling a data set: images, labels and groups joined into its rows."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import LabelledView
from assets.dataset.versions import SPLITS, version_of
from labelling.columns import (
    LabelLists,
    flat,
    is_ascending,
    is_true,
    labels_table_of,
    picked,
    positions,
    sort_order,
)
from labelling.labels.schema import LabelSchema
from training.data.manifest import MANIFEST_SCHEMA, dataset_version

ROWS_SCHEMA = pa.schema(
    [field for field in MANIFEST_SCHEMA if field.name not in ("shard", "offset", "length")]
)
"""A manifest without the columns that locate an image in a shard."""

IDENTITY_SCHEMA = pa.schema([MANIFEST_SCHEMA.field(n) for n in ("sha256", "labels", "split")])

LOST = "the file under raw/ differs from what was indexed"
"""Why an image that cannot be packed is left out; the log has the reason of each."""


@dataclass(frozen=True)
class Assembly:
    """A data set before it is written.

    Attributes:
        version: hash of the content, task and labels, 16 hex digits.
        task: ``single_label`` or ``multi_label``.
        labels: the classes, in the order of a model's outputs.
        rows: in ``ROWS_SCHEMA``, sorted by sha256.
        left_out: reason to the images (sha256) that it excludes.
        conflicts: rows of ``labelling.labels.consensus.CONFLICTS_SCHEMA``.
        unlabelled: number of images without a label.
    """

    version: str
    task: str
    labels: tuple[str, ...]
    rows: pa.Table
    left_out: dict[str, list[str]]
    conflicts: list[dict[str, Any]]
    unlabelled: int


def assemble(
    images: pa.Table, view: LabelledView, groups: pa.Table, schema: LabelSchema
) -> Assembly:
    """Join images, labels and groups; pure.

    Args:
        images: usable images, one row per sha256.
        view: the label that counts for each image, and the conflicts.
        groups: one row an image (``assets.dataset.splits.splitting``).
        schema: label schema; without ``names`` the classes are those in use, sorted.

    Raises:
        KeyError: an image has no group.
    """
    shas, labelled = flat(images["sha256"]), labels_table_of(view.labels)
    label_row, group = positions(shas, labelled["sha256"]), positions(shas, groups["sha256"])
    if (group < 0).any():
        raise KeyError(shas[int(np.argmin(group))].as_py())
    disputed = is_true(
        pc.is_in(shas, value_set=pa.array([r["sha256"] for r in view.conflicts], pa.string()))
    )
    splits = picked(groups["split"], group)
    is_dealt = is_true(pc.is_in(splits, value_set=pa.array(SPLITS)))
    out = disputed | ((label_row >= 0) & ~is_dealt)
    chosen = np.flatnonzero((label_row >= 0) & is_dealt & ~disputed)
    if not is_ascending(shas):
        chosen = chosen[sort_order(picked(shas, chosen))]
    lists = LabelLists.of(labelled["labels"]).take(label_row[chosen])
    rows = pa.table(
        {
            "sha256": picked(shas, chosen),
            "labels": lists.column(sorted),
            "split": picked(splits, chosen),
            "group_id": picked(groups["group_id"], group[chosen]),
            "width": picked(images["width"], chosen),
            "height": picked(images["height"], chosen),
            "raw_key": picked(images["key"], chosen),
        },
    ).cast(ROWS_SCHEMA)
    names = schema.names or tuple(sorted({label for kind in lists.used() for label in kind}))
    return Assembly(
        version=version_of(dataset_version(rows), schema.task, names),
        task=schema.task,
        labels=names,
        rows=rows,
        left_out=_left_out(shas, np.flatnonzero(out), groups.take(pa.array(group[out])), view),
        conflicts=view.conflicts,
        unlabelled=int(((label_row < 0) & ~disputed).sum()),
    )


def _left_out(
    shas: pa.Array, where: np.ndarray, groups: pa.Table, view: LabelledView
) -> dict[str, list[str]]:
    """Return reason to the images (sha256) that it excludes.

    Args:
        shas: all images.
        where: positions of the excluded ones.
        groups: their rows, in the same order.
        view: has the conflicts.
    """
    conflicted = {row["sha256"]: row["reason"] for row in view.conflicts}
    found: dict[str, list[str]] = defaultdict(list)
    reasons = groups["reason"].to_pylist()
    for sha, reason in zip(shas.take(pa.array(where)).to_pylist(), reasons, strict=True):
        found[conflicted[sha] if sha in conflicted else reason.partition(":")[0]].append(sha)
    return dict(found)


def without(assembly: Assembly, lost: Mapping[str, str]) -> Assembly:
    """Return the data set without images that cannot be read; its version is another one.

    Args:
        assembly: the data set.
        lost: image (sha256) to reason.
    """
    gone = pc.is_in(assembly.rows["sha256"], value_set=pa.array(list(lost), pa.string()))
    rows = assembly.rows.filter(pc.invert(gone))
    content = dataset_version(rows)
    return replace(
        assembly,
        version=version_of(content, assembly.task, assembly.labels),
        rows=rows,
        left_out={**assembly.left_out, LOST: sorted(lost)},
    )
