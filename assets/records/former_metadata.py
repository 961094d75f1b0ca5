"""What older code kept in Dagster's metadata, and records have now (``assets.records.materializations``).

The only place that reads metadata back: a home made by older code goes on, and so does an asset that
a person reported as materialized.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

_NAMES: Mapping[str, Mapping[str, str]] = {
    "raw_images": {
        "content_version": "content_version",
        "table_version": "table_version",
        "objects": "objects",
        "rejected": "rejected",
    },
    "annotations": {
        "content_version": "content_version",
        "label_schema": "schema_version",
        "snapshots": "snapshots",
    },
    "dataset": {
        "dataset_version": "dataset_version",
        "images": "images",
        "classes": "classes",
        "label_rows": "label_rows",
        "retraining": "retraining",
        "retrain_at": "retrain_at",
    },
    "trained_model": {
        "model_version": "model_version",
        "dataset_version": "dataset_version",
        "dataset_named": "dataset_named",
        "digest": "digest",
        "recipe_asked": "recipe_asked",
    },
    "evaluation_report": {
        "model_version": "model_version",
        "digest": "digest",
        "job": "job",
        "no_champion": "no_champion",
    },
    "embeddings": {"backbone": "backbone"},
    "labelling_queue": {
        "open": "open",
        "left": "left to label",
        "wanted": "wanted",
        "corrections": "corrections",
        "project": "project",
        "project_made": "project made",
        "tasks": "tasks",
    },
    "release_approval": {
        "digest": "digest",
        "decision": "decision",
        "approved_at": "approved_at",
    },
}
"""Asset to a record's field to the name of the metadata."""


def former_fields(asset: str, materialization: dg.AssetMaterialization) -> dict[str, Any]:
    """Return the fields of an asset's record as its metadata have them.

    Args:
        asset: name of the asset.
        materialization: of that asset.

    Returns:
        Field to value; a field without metadata is missing.
    """
    metadata = materialization.metadata
    names = _NAMES.get(asset, {})  # an asset that older code did not have has none
    found = {field: metadata[name].value for field, name in names.items() if name in metadata}
    if asset == "embeddings" and found.get("backbone") == "none":  # for people: no net
        found["backbone"] = ""
    return found


def former_training(made: dg.AssetMaterialization | None) -> dict[str, Any] | None:
    """Return a training's ``model_version``, ``dataset_version`` and ``configuration``.

    ``None`` where the materialization of ``trained_model`` does not have them.
    """
    values = {name: item.value for name, item in made.metadata.items()} if made else {}
    version, configuration = values.get("model_version"), values.get("configuration")
    if not (isinstance(version, str) and isinstance(configuration, dict)):
        return None
    return values if "dataset_version" in values else None
