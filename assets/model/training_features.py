"""What a training job takes from the store of earlier ones, and adds to it: features, export checks.

So that no image goes through the nets twice: not for the next training, and not for the labelling queue.
They decide nothing: a job computes what is missing.
"""

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from assets.dataset.versions import read_dataset_manifest
from assets.model.feature_store import (
    EMBEDDINGS,
    append_features,
    likely_backbone,
    stored_features,
)
from object_store.errors import StoreError
from object_store.store import ObjectStore
from resources.compute.failures import Context
from resources.compute.job_spec import Channel
from training.artefact.checked_export import (
    CHECKED_BODIES,
    EXPORT_CHECK,
    ExportCheck,
    comparison_file,
)
from training.config import Hyperparameters
from training.embedding.reuse import TRAINING_FEATURES, backbone_of

CHECKED = f"{EMBEDDINGS}pretrained/exports/"
"""Comparisons of exported bodies with their nets (``training.artefact.checked_export``)."""


def features_channel(
    context: Context, store: ObjectStore, hyperparameters: Hyperparameters, version: str
) -> dict[str, Channel]:
    """Return the stored features of a data set's images as a channel; empty if there are none.

    Args:
        context: Dagster's context, for warnings.
        store: object store of the project.
        hyperparameters: of the training.
        version: data set version.
    """
    if hyperparameters.recipe != "probe":
        return {}
    try:
        backbone = likely_backbone(
            store,
            hyperparameters.architecture,
            hyperparameters.image_size,
            hyperparameters.resize,
        )
        if backbone is None:
            return {}
        features = stored_features(store, backbone)
        features.mend(context.log.warning)
        images = read_dataset_manifest(store, version)["sha256"].to_pylist()
        keys = features.keys_of(images)
    except StoreError as error:
        context.log.warning(f"stored features are not used, the job computes them: {error}")
        return {}
    return {"features": Channel(prefix=EMBEDDINGS, keys=keys)} if keys else {}


def keep_training_features(
    context: Context, store: ObjectStore, outputs: Mapping[str, bytes]
) -> None:
    """Store the features that a training job computed; a failure is only a warning.

    Args:
        context: Dagster's context, for warnings.
        store: object store of the project.
        outputs: files of the job, by name.
    """
    if TRAINING_FEATURES not in outputs:
        return
    try:
        rows = pq.read_table(io.BytesIO(outputs[TRAINING_FEATURES]))
        append_features(stored_features(store, backbone_of(rows)), rows)
    except (StoreError, pa.ArrowException, KeyError, ValueError) as error:
        context.log.warning(f"the job's features are not stored, and computed again: {error}")


def checked_bodies_channel(
    context: Context, store: ObjectStore, hyperparameters: Hyperparameters
) -> dict[str, Channel]:
    """Return the comparisons of exported bodies with their nets as a channel; empty if there are none.

    Args:
        context: Dagster's context, for warnings.
        store: object store of the project.
        hyperparameters: of the training.
    """
    if hyperparameters.recipe != "probe":
        return {}
    try:
        keys = tuple(info.key for info in store.list(CHECKED))
    except StoreError as error:
        context.log.warning(f"exported graphs are compared on all images again: {error}")
        return {}
    return {CHECKED_BODIES: Channel(prefix=CHECKED, keys=keys)} if keys else {}


def keep_checked_body(context: Context, store: ObjectStore, outputs: Mapping[str, bytes]) -> None:
    """Store the comparison of a body with its net, if the job made one; a failure is only a warning.

    Args:
        context: Dagster's context, for warnings.
        store: object store of the project.
        outputs: files of the job, by name.
    """
    if EXPORT_CHECK not in outputs:  # a job of older code
        return
    try:
        checked = ExportCheck.model_validate_json(outputs[EXPORT_CHECK])
        if checked.body is not None and not checked.features:
            key = f"{CHECKED}{comparison_file(checked.body)}"
            store.create(key, checked.body.model_dump_json(indent=1).encode())
    except (StoreError, ValueError) as error:
        context.log.warning(f"the check of the export is not stored, and made again: {error}")
