"""Evidence of an export: real images and torch's probabilities, to check an ONNX graph again.

In a module without torch, so that a check starts two seconds faster.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np


def write_evidence(path: Path, images: Sequence[np.ndarray], probabilities: np.ndarray) -> None:
    """Write real images and torch's probabilities to a compressed .npz file.

    Args:
        path: of the file.
        images: each uint8 [height, width, 3], sizes may differ.
        probabilities: float32 [len(images), classes].
    """
    named = {f"image_{index:04d}": image for index, image in enumerate(images)}
    np.savez_compressed(path, probabilities=probabilities, **named)  # type: ignore[arg-type] # names of our own


def read_evidence(source: Path | BinaryIO | io.BytesIO) -> tuple[list[np.ndarray], np.ndarray]:
    """Read images and probabilities as ``write_evidence`` wrote them."""
    with np.load(source, allow_pickle=False) as stored:
        names = sorted(name for name in stored.files if name.startswith("image_"))
        return [stored[name] for name in names], stored["probabilities"]
