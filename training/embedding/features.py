"""Features and probabilities of images as they lie in the store: one row an image, by its sha256."""

import numpy as np
import pyarrow as pa

FEATURES_VERSION = "1"
"""Version of how features are computed; with ``CODE_VERSION`` a part of every backbone's name, so
that those of another version are never mixed. Raise it when ``training/embed.py`` changes them."""

FEATURES_SCHEMA = pa.schema(
    [pa.field("sha256", pa.string(), nullable=False), pa.field("features", pa.binary())]
)
"""``features`` are float16, little-endian: half the bytes, and what is lost (a part in 2,000) is
less than what bfloat16 loses on the way."""

PROBABILITIES_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32())),
    ]
)
"""Calibrated probabilities in the order of the model's labels."""

_HALF = np.dtype("<f2")
_MOST = float(np.finfo(np.float16).max)


def packed_features(features: np.ndarray) -> list[bytes]:
    """``features``, float32 [n, d], as the column of that name holds them."""
    return [row.tobytes() for row in np.clip(features, -_MOST, _MOST).astype(_HALF)]


def features_of(rows: pa.Table) -> np.ndarray:
    """The features of rows in ``FEATURES_SCHEMA``: float32 [n, d]; [0, 0] of no rows.

    Raises:
        ValueError: rows are of different length, so they are of different nets.
    """
    values = rows["features"].to_pylist()
    if len({len(value) for value in values}) > 1:
        raise ValueError("features of different nets in one table; delete its folder in the store")
    flat = np.frombuffer(b"".join(values), _HALF).astype(np.float32)
    return flat.reshape(len(values), -1) if values else np.empty((0, 0), np.float32)


def probabilities_table(shas: list[str], probabilities: np.ndarray) -> pa.Table:
    """``probabilities``, float32 [n, k], as rows in ``PROBABILITIES_SCHEMA``."""
    n, k = probabilities.shape
    offsets = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32) if k else np.zeros(n + 1, "i4"))
    flat = pa.array(np.ascontiguousarray(probabilities, np.float32).ravel())
    column = pa.ListArray.from_arrays(offsets, flat)
    return pa.Table.from_arrays([pa.array(shas, pa.string()), column], schema=PROBABILITIES_SCHEMA)


def probabilities_of(rows: pa.Table, labels: int) -> np.ndarray:
    """The probabilities of rows in ``PROBABILITIES_SCHEMA``: float32 [n, labels].

    Raises:
        ValueError: a row is of another number of labels.
    """
    flat = rows["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(rows.num_rows, labels)
