"""What a model answered in its own evaluation, so that it need not answer the same images again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.config import CODE_VERSION

if TYPE_CHECKING:
    from training.artefact.predictor import OnnxPredictor

PREDICTIONS = "predictions.parquet"


def description_of(model: "OnnxPredictor") -> dict[str, str]:
    """Return the metadata of a file of predictions: which artefact answered, by which code."""
    return {
        "labels": json.dumps(model.labels),
        "digest": model.digest,
        "code_version": CODE_VERSION,
    }


def known_answers(folder: Path | None, model: "OnnxPredictor") -> dict[str, np.ndarray]:
    """Read the answers of a model: image (sha256) to probabilities, float32 [labels].

    Args:
        folder: holds the predictions of an evaluation; ``None``: there is none.
        model: its digest, labels and code must be those of the predictions.

    Returns:
        The answers; nothing if the predictions are another's, or damaged.
    """
    path = folder / PREDICTIONS if folder else None
    if path is None or not path.is_file():
        return {}
    try:
        rows = pq.read_table(path, columns=["sha256", "probabilities"])
    except (pa.ArrowException, OSError):
        return {}
    said = {key.decode(): value.decode() for key, value in (rows.schema.metadata or {}).items()}
    if any(said.get(key) != value for key, value in description_of(model).items()):
        return {}
    answers = rows["probabilities"].to_pylist()
    pairs = zip(rows["sha256"].to_pylist(), answers, strict=True)
    return {image: np.array(values, np.float32) for image, values in pairs}
