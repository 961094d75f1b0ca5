"""Real images and torch's answers to them, kept so that anybody can check an ONNX graph again.

Apart from the export, and without torch: whoever checks a graph needs two seconds less to start.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np


def write_evidence(path: Path, images: Sequence[np.ndarray], probabilities: np.ndarray) -> None:
    """Keep real images and torch's answers, for whoever wants to check the graph again.

    Args:
        images: each uint8 [height, width, 3], sizes may differ.
        probabilities: float32 [len(images), classes].
    """
    named = {f"image_{index:04d}": image for index, image in enumerate(images)}
    np.savez_compressed(path, probabilities=probabilities, **named)  # type: ignore[arg-type]


def read_evidence(source: Path | BinaryIO | io.BytesIO) -> tuple[list[np.ndarray], np.ndarray]:
    """The inverse of ``write_evidence``: images and probabilities."""
    with np.load(source, allow_pickle=False) as stored:
        names = sorted(name for name in stored.files if name.startswith("image_"))
        return [stored[name] for name in names], stored["probabilities"]
