"""Features and probabilities of raw images in the store, and the backbone of each model.

``embeddings/<backbone>/`` holds features, ``predictions/<model version>/`` probabilities, in
create-only segments (``object_store.contents.vectors``). A record beside the probabilities names their
columns.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from labelling.labels.schema import Task
from object_store.contents.parquet_vectors import ParquetVectors
from object_store.contents.reading import read_record
from object_store.contents.vectors import Vectors
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from training.config import Resize
from training.embedding.features import (
    FEATURES_SCHEMA,
    FEATURES_VERSION,
    PROBABILITIES_SCHEMA,
    backbone_start,
    half_features_of,
    probabilities_of,
)

EMBEDDINGS = "embeddings/"
PREDICTIONS = "predictions/"


class EmbeddedModel(BaseModel):
    """What is known of a model whose probabilities are in the store."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_version: str
    digest: str
    backbone: str
    task: Task
    labels: tuple[str, ...]
    thresholds: dict[str, float] = {}


def stored_features(store: ObjectStore, backbone: str) -> Vectors:
    """Return the features of one backbone: float16 [n, d], in the order of their appends."""
    prefix = f"{EMBEDDINGS}{backbone}"
    older = ParquetVectors(store, prefix, FEATURES_SCHEMA, half_features_of)
    return Vectors(store, prefix, "<f2", older)


def stored_probabilities(store: ObjectStore, model_version: str) -> Vectors:
    """Return the probabilities that one model gave: float32 [n, labels]."""
    prefix = f"{PREDICTIONS}{model_version}"
    older = ParquetVectors(store, prefix, PROBABILITIES_SCHEMA, probabilities_of)
    return Vectors(store, prefix, "<f4", older)


def append_features(features: Vectors, rows: pa.Table) -> int:
    """Append the features of images that have none, rows in ``FEATURES_SCHEMA``; return how many."""
    return features.append(rows["sha256"].to_pylist(), half_features_of(rows))


def append_probabilities(probabilities: Vectors, rows: pa.Table) -> int:
    """Append the probabilities of images that have none, rows in ``PROBABILITIES_SCHEMA``.

    Returns:
        How many were new.
    """
    return probabilities.append(rows["sha256"].to_pylist(), probabilities_of(rows))


def read_features(store: ObjectStore, backbone: str, images: Sequence[str]) -> np.ndarray:
    """Read the features of images.

    Args:
        store: object store of the project.
        backbone: name of the backbone.
        images: n images (sha256).

    Returns:
        float32 [n, d], in the order of ``images``; zeros for an image without features. [n, 0] if
        none has any.

    Raises:
        DamagedObject: a segment is missing or damaged.
        ValueError: features have different lengths, so they are of different nets.
    """
    found = np.zeros((len(images), 0), np.float32)
    for places, features in stored_features(store, backbone).blocks(images):
        if not found.shape[1]:
            found = np.zeros((len(images), features.shape[1]), np.float32)
        if features.shape[1] != found.shape[1]:
            raise ValueError("features of different nets in one folder; delete it in the store")
        found[places] = features
    return found


def read_probabilities(
    store: ObjectStore, model: EmbeddedModel, images: Sequence[str]
) -> np.ndarray:
    """Read the probabilities that a model gave to images.

    Args:
        store: object store of the project.
        model: the model's record.
        images: n images (sha256).

    Returns:
        float32 [n, labels], in the order of ``images``; NaN for an image without a prediction.

    Raises:
        DamagedObject: a segment is missing or damaged.
        ValueError: they are of another number of labels.
    """
    found = np.full((len(images), len(model.labels)), np.nan, np.float32)
    for places, probabilities in stored_probabilities(store, model.model_version).blocks(images):
        if probabilities.shape[1] != len(model.labels):
            raise ValueError(f"probabilities of {model.model_version} are of other labels than its")
        found[places] = probabilities
    return found


def embedded_model(store: ObjectStore, model_version: str) -> EmbeddedModel | None:
    """Read the record of a model; ``None`` if the model has predicted nothing yet.

    Raises:
        DamagedObject: the record cannot be read.
    """
    try:
        return read_record(store, _model_key(model_version), EmbeddedModel)
    except KeyMissing:
        return None


def record_model(store: ObjectStore, model_version: str, fields: Mapping[str, Any]) -> None:
    """Write the record of a model, unless it exists.

    Args:
        store: object store of the project.
        model_version: name of the training job.
        fields: the other fields of ``EmbeddedModel``, as the embedding job reports them.
    """
    record = EmbeddedModel.model_validate({**fields, "model_version": model_version})
    store.create(_model_key(model_version), record.model_dump_json(indent=1).encode())


def likely_backbone(
    store: ObjectStore, architecture: str, size: int | None, resize: Resize = "squash"
) -> str | None:
    """Guess the backbone of the next probe: of this architecture and images the last one used.

    The guess is wrong if the pretrained weights changed; the embedding job verifies it.

    Args:
        store: object store of the project.
        architecture: of the net.
        size: side of the input image, in pixels; ``None``: any.
        resize: how images become squares.

    Returns:
        Name of the backbone, or ``None`` if there are no features of this architecture and size.
    """
    before, _, after = backbone_start(architecture, 0, resize).rpartition("-0")
    sizes = "[0-9]+" if size is None else str(size)
    begins = f"{EMBEDDINGS}{re.escape(before)}-{sizes}{re.escape(after)}"
    is_one = re.compile(begins).match
    found = [info for info in store.list(EMBEDDINGS) if is_one(info.key)]
    if not found:
        return None
    newest = max(found, key=lambda info: info.last_modified)
    return newest.key.removeprefix(EMBEDDINGS).partition("/")[0]


def _model_key(model_version: str) -> str:
    """Return the key of a model's record; it has the features' version, which decides the backbone."""
    return f"{PREDICTIONS}{model_version}/model-{'-'.join(FEATURES_VERSION)}.json"
