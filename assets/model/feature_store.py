"""Features and probabilities of raw images in the store, and which model has which backbone.

``embeddings/<backbone>/`` holds features, ``predictions/<model version>/`` probabilities: tables of
create-only parts. Beside the probabilities a record says what their columns are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from labelling.labels.schema import Task
from resources.contents.reading import read_record
from resources.contents.tables import Table
from resources.store.errors import KeyMissing
from resources.store.object_store import ObjectStore
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
"""Parts of a table that are put together: seldom, for all features are then written again."""


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
    """Features by image, of one backbone; ``on_damage``: see :class:`resources.contents.tables.Table`."""
    prefix = f"{EMBEDDINGS}{backbone}"
    return Table(store, backbone, FEATURES_SCHEMA, prefix=prefix, on_damage=on_damage)


def predictions_table(
    store: ObjectStore, model_version: str, on_damage: Callable[[str], object] | None = None
) -> Table:
    """Probabilities by image, of one model; ``on_damage``: see :class:`resources.contents.tables.Table`."""
    prefix = f"{PREDICTIONS}{model_version}"
    return Table(store, model_version, PROBABILITIES_SCHEMA, prefix=prefix, on_damage=on_damage)


def embedded_images(table: Table) -> set[str]:
    """The images (sha256) that are in the table."""
    return set(table.read(["sha256"])["sha256"].to_pylist())


def append_new(table: Table, rows: pa.Table) -> int:
    """Append the rows of images that ``table`` has not got; how many those were."""
    known = table.read(["sha256"])["sha256"]
    fresh = rows.filter(pc.invert(pc.is_in(rows["sha256"], value_set=known)))
    table.append(fresh)
    table.compact(COMPACT_AT)
    return fresh.num_rows


def read_features(store: ObjectStore, backbone: str, images: Sequence[str]) -> np.ndarray:
    """The features of ``images`` (sha256): float32 [n, d]; zeros where there are none."""
    rows, places = _selected(features_table(store, backbone), images)
    features = features_of(rows)
    found = np.zeros((len(images), features.shape[1]), np.float32)
    found[places] = features
    return found


def read_probabilities(
    store: ObjectStore, model: EmbeddedModel, images: Sequence[str]
) -> np.ndarray:
    """What ``model`` says of ``images`` (sha256): float32 [n, labels]; NaN where it has not
    looked at them."""
    rows, places = _selected(predictions_table(store, model.model_version), images)
    found = np.full((len(images), len(model.labels)), np.nan, np.float32)
    found[places] = probabilities_of(rows, len(model.labels))
    return found


def _selected(table: Table, images: Sequence[str]) -> tuple[pa.Table, np.ndarray]:
    """The rows of those of ``images`` that are there, and their positions in ``images``."""
    rows = table.read()
    wanted = pa.array(images, pa.string())
    position = pc.index_in(wanted, value_set=rows["sha256"].combine_chunks())
    there = position.is_valid()
    places = np.flatnonzero(there.to_numpy(zero_copy_only=False))
    return rows.take(position.filter(there)), places


def embedded_model(store: ObjectStore, model_version: str) -> EmbeddedModel | None:
    """What is known of a model, or ``None`` if it has not looked at any image. Raises
    DamagedObject."""
    try:
        return read_record(store, _model_key(model_version), EmbeddedModel)
    except KeyMissing:
        return None


def record_model(store: ObjectStore, model_version: str, said: Mapping[str, Any]) -> None:
    """Keep what the embedding job said of a model (the other fields of ``EmbeddedModel``)."""
    record = EmbeddedModel.model_validate({**said, "model_version": model_version})
    store.create(_model_key(model_version), record.model_dump_json(indent=1).encode())


def likely_backbone(store: ObjectStore, architecture: str, size: int) -> str | None:
    """The backbone of this architecture and image size whose features were computed last: that of
    the next probe, unless its pretrained weights are others."""
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
    """With the code's versions, under which another net may be the same backbone."""
    return f"{PREDICTIONS}{model_version}/model-{CODE_VERSION}-{FEATURES_VERSION}.json"
