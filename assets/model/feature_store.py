"""Features and probabilities of raw images in the store, and the backbone of each model.

``embeddings/<backbone>/`` holds features, ``predictions/<model version>/`` probabilities: tables of
create-only parts. A record beside the probabilities names their columns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from labelling.labels.schema import Task
from object_store.contents.reading import read_record
from object_store.contents.tables import Table
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from training.config import CODE_VERSION
from training.embedding.features import (
    FEATURES_SCHEMA,
    FEATURES_VERSION,
    PROBABILITIES_SCHEMA,
    features_of,
    probabilities_of,
)

EMBEDDINGS = "embeddings/"
PREDICTIONS = "predictions/"
COMPACT_AT = 64
"""Parts of a table before they are compacted: a large number, as compacting rewrites all features."""


class EmbeddedModel(BaseModel):
    """What is known of a model whose probabilities are in the store."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_version: str
    digest: str
    backbone: str
    task: Task
    labels: tuple[str, ...]
    thresholds: dict[str, float] = {}


def features_table(
    store: ObjectStore, backbone: str, on_damage: Callable[[str], object] | None = None
) -> Table:
    """Return the table of features of one backbone.

    Args:
        store: object store of the project.
        backbone: name of the backbone.
        on_damage: see :class:`object_store.contents.tables.Table`.

    Returns:
        A table in ``FEATURES_SCHEMA``, one row an image.
    """
    prefix = f"{EMBEDDINGS}{backbone}"
    return Table(store, backbone, FEATURES_SCHEMA, prefix=prefix, on_damage=on_damage)


def predictions_table(
    store: ObjectStore, model_version: str, on_damage: Callable[[str], object] | None = None
) -> Table:
    """Return the table of probabilities of one model.

    Args:
        store: object store of the project.
        model_version: name of the training job.
        on_damage: see :class:`object_store.contents.tables.Table`.

    Returns:
        A table in ``PROBABILITIES_SCHEMA``, one row an image.
    """
    prefix = f"{PREDICTIONS}{model_version}"
    return Table(store, model_version, PROBABILITIES_SCHEMA, prefix=prefix, on_damage=on_damage)


def embedded_images(table: Table) -> set[str]:
    """Return the images (sha256) that are in the table."""
    return set(table.read(["sha256"])["sha256"].to_pylist())


def append_new(table: Table, rows: pa.Table) -> int:
    """Append the rows of images that ``table`` does not have; return the number of new rows."""
    known = table.read(["sha256"])["sha256"]
    fresh = rows.filter(pc.invert(pc.is_in(rows["sha256"], value_set=known)))
    table.append(fresh)
    table.compact(COMPACT_AT)
    return fresh.num_rows


def read_features(store: ObjectStore, backbone: str, images: Sequence[str]) -> np.ndarray:
    """Read the features of images.

    Args:
        store: object store of the project.
        backbone: name of the backbone.
        images: n images (sha256).

    Returns:
        float32 [n, d], in the order of ``images``; zeros for an image without features.

    Raises:
        DamagedObject: a part of the table cannot be read.
    """
    rows, places = _selected(features_table(store, backbone), images)
    features = features_of(rows)
    found = np.zeros((len(images), features.shape[1]), np.float32)
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
        DamagedObject: a part of the table cannot be read.
    """
    rows, places = _selected(predictions_table(store, model.model_version), images)
    found = np.full((len(images), len(model.labels)), np.nan, np.float32)
    found[places] = probabilities_of(rows, len(model.labels))
    return found


def _selected(table: Table, images: Sequence[str]) -> tuple[pa.Table, np.ndarray]:
    """Return the rows of those ``images`` that are in the table, and their positions in ``images``."""
    rows = table.read()
    wanted = pa.array(images, pa.string())
    position = pc.index_in(wanted, value_set=rows["sha256"].combine_chunks())
    there = position.is_valid()
    places = np.flatnonzero(there.to_numpy(zero_copy_only=False))
    return rows.take(position.filter(there)), places


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


def likely_backbone(store: ObjectStore, architecture: str, size: int) -> str | None:
    """Guess the backbone of the next probe: of this architecture and image size the last one used.

    The guess is wrong if the pretrained weights changed; the embedding job verifies it.

    Args:
        store: object store of the project.
        architecture: name of the torchvision architecture.
        size: side of the input image, in pixels.

    Returns:
        Name of the backbone, or ``None`` if there are no features of this architecture and size.
    """
    found = [
        info
        for info in store.list(EMBEDDINGS)
        if info.key.removeprefix(EMBEDDINGS).startswith(f"{architecture}-{size}-")
    ]
    if not found:
        return None
    newest = max(found, key=lambda info: info.last_modified)
    return newest.key.removeprefix(EMBEDDINGS).partition("/")[0]


def _model_key(model_version: str) -> str:
    """Return the key of a model's record; it has the code's versions, which decide the backbone."""
    return f"{PREDICTIONS}{model_version}/model-{CODE_VERSION}-{FEATURES_VERSION}.json"
