"""Writing a data set version: its manifest, then its card."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset.assembly import Assembly
from assets.dataset.shards import SHARDS_SCHEMA
from assets.dataset.versions import SPLITS, dataset_prefix
from assets.policies import SplitPolicy
from labelling.columns import (
    LabelLists,
    is_true,
    picked,
    positions,
)
from object_store.store import ObjectStore
from training.data.manifest import write_manifest


def write_dataset(
    store: ObjectStore,
    assembly: Assembly,
    placed: pa.Table,
    split: SplitPolicy,
    sheets: Mapping[str, str] | None = None,
    *,
    generation: int | None = None,
) -> None:
    """Write the manifest, then the card, which marks the version as complete.

    Args:
        store: object store of the project.
        assembly: the data set.
        placed: the places of its images (``write_shards``), in ``SHARDS_SCHEMA``.
        split: the policy it was split by.
        sheets: label to key of its contact sheet.
        generation: number of the generation of its splits; ``None``: unknown.
    """
    prefix = dataset_prefix(assembly.version)
    place = positions(assembly.rows["sha256"], placed["sha256"])
    manifest = assembly.rows
    for name in SHARDS_SCHEMA.names[1:]:
        manifest = manifest.append_column(name, picked(placed[name], place))
    store.create(f"{prefix}manifest.parquet", write_manifest(manifest))
    card = {
        "version": assembly.version,
        "created_at": datetime.now(UTC).isoformat(),
        "task": assembly.task,
        "labels": list(assembly.labels),
        "images": manifest.num_rows,
        "unlabelled": assembly.unlabelled,
        "counts": _counts(assembly),
        "left_out": assembly.left_out,
        "conflicts": [
            {**row, "annotated_at": str(row["annotated_at"])} for row in assembly.conflicts
        ],
        "split_policy": split.model_dump(),
        "generation": generation,
        "shards": sorted(pc.unique(manifest["shard"]).to_pylist()),
        "contact_sheets": dict(sheets or {}),
    }
    store.create(f"{prefix}card.json", json.dumps(card, indent=1, ensure_ascii=False).encode())


def _counts(assembly: Assembly) -> dict[str, dict[str, int]]:
    """Return label to split to number of images."""
    counts = {label: dict.fromkeys(SPLITS, 0) for label in assembly.labels}
    lists = LabelLists.of(assembly.rows["labels"])
    for split in SPLITS:
        mine = lists.take(np.flatnonzero(is_true(pc.equal(assembly.rows["split"], split))))
        for kind, images in zip(mine.kinds, mine.counts().tolist(), strict=True):
            for label in kind if images else ():
                counts[label][split] += images
    return counts
