"""Features as float16: half the bytes, and a rounding error (1 in 2,000) below that of bfloat16."""

import numpy as np

HALF = np.dtype("<f2")
_MOST = float(np.finfo(np.float16).max)


def to_half(features: np.ndarray) -> np.ndarray:
    """Round features, float32 [n, d], to float16; larger ones become the largest float16."""
    return np.clip(features, -_MOST, _MOST).astype(HALF)
