"""Schemas of features and probabilities in the store: one row per image, by its SHA-256."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.backbones.weights import file_stem
from training.config import Resize
from training.fitting.halves import HALF, to_half

FEATURES_VERSION = ("1", "1")
"""Version of the computation of features, a part of every backbone's name, so that features of
different versions are never mixed. Raise the second number when the same net gives other features:
``tests/unit/training/test_features_version.py`` watches the code that decides. The first was
``CODE_VERSION`` while new training code made new features, too; it stays, so that stored features
keep their names."""

FEATURES_SCHEMA = pa.schema(
    [pa.field("sha256", pa.string(), nullable=False), pa.field("features", pa.binary())]
)
"""``features`` are float16, little-endian: half the bytes, and the rounding error (1 in 2,000) is
less than that of computing in bfloat16."""

PROBABILITIES_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32())),
    ]
)
"""Calibrated probabilities in the order of the model's labels."""


def backbone_start(architecture: str, size: int, resize: Resize) -> str:
    """Return the start of a backbone's name, which is followed by a hash.

    Args:
        architecture: of the net.
        size: width and height of its images in pixels.
        resize: how they become squares.
    """
    how = "" if resize == "squash" else resize
    return f"{file_stem(architecture)}-{size}{how}-"


def packed_features(features: np.ndarray) -> list[bytes]:
    """Convert features, float32 [n, d], to values of the column ``features``."""
    return [row.tobytes() for row in to_half(features)]


def features_of(rows: pa.Table) -> np.ndarray:
    """Read the features of rows in ``FEATURES_SCHEMA``: float32 [n, d]; [0, 0] without rows.

    Raises:
        ValueError: features have different lengths, so they are of different nets.
    """
    return half_features_of(rows).astype(np.float32)


def half_features_of(rows: pa.Table) -> np.ndarray:
    """Read the features of rows in ``FEATURES_SCHEMA`` as they are stored: float16 [n, d].

    Raises:
        ValueError: features have different lengths, so they are of different nets.
    """
    lengths = pc.unique(pc.binary_length(rows["features"])).to_pylist()
    if len(lengths) > 1:
        raise ValueError("features of different nets in one table; delete its folder in the store")
    if not lengths:
        return np.empty((0, 0), HALF)
    column = pa.concat_arrays(rows["features"].cast(pa.binary(lengths[0])).chunks)
    data = np.frombuffer(column.buffers()[1], np.uint8)
    begin = column.offset * lengths[0]
    return data[begin : begin + rows.num_rows * lengths[0]].view(HALF).reshape(rows.num_rows, -1)


def probabilities_table(shas: list[str], probabilities: np.ndarray) -> pa.Table:
    """Convert probabilities, float32 [n, k], to rows in ``PROBABILITIES_SCHEMA``."""
    n, k = probabilities.shape
    offsets = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32) if k else np.zeros(n + 1, "i4"))
    flat = pa.array(np.ascontiguousarray(probabilities, np.float32).ravel())
    column = pa.ListArray.from_arrays(offsets, flat)
    return pa.Table.from_arrays([pa.array(shas, pa.string()), column], schema=PROBABILITIES_SCHEMA)


def probabilities_of(rows: pa.Table) -> np.ndarray:
    """Read the probabilities of rows in ``PROBABILITIES_SCHEMA``: float32 [n, labels].

    Raises:
        ValueError: the rows have different numbers of labels.
    """
    lengths = pc.unique(pc.list_value_length(rows["probabilities"])).to_pylist()
    if len(lengths) > 1:
        raise ValueError("probabilities of different models in one table; delete its folder")
    flat = pc.list_flatten(rows["probabilities"]).to_numpy()
    return flat.reshape(rows.num_rows, lengths[0] if lengths else 0)
