"""Comparison of an exported graph with its net on real images.

The models of a probe differ in their heads, and have the same body: all that computes features from
pixels. A body is compared on ``CHECKED_IMAGES`` images once. A later job whose graph has the same body
compares the whole graph on ``SOME_IMAGES`` images, and the heads on the features of ``CHECKED_IMAGES``.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from training.artefact.checked_export import CheckedBody, ExportCheck
from training.artefact.export import ServingNet, head_probabilities_of, probabilities_of
from training.artefact.predictor import OnnxPredictor
from training.artefact.split import SplitModel

log = logging.getLogger("training")

CHECKED_IMAGES = 256
"""Number of validation images on which a graph is compared with its net, if there are so many."""

SOME_IMAGES = 16
"""Number of them that are kept as evidence, and that suffice for a body which was compared before."""

_CHUNK = 32
"""Images in memory at a time: photos may be large."""


@dataclass(frozen=True)
class Evidence:
    """Images, each uint8 [height, width, 3], and the net's probabilities of them, float32 [n, labels]."""

    images: list[np.ndarray]
    probabilities: np.ndarray


def check_export(
    serving: ServingNet,
    folder: Path,
    images: Iterable[np.ndarray],
    *,
    of: int,
    features: np.ndarray,
    earlier: Path | None,
) -> tuple[ExportCheck, Evidence]:
    """Compare the graph in ``folder`` with the net that it was exported from.

    Args:
        serving: the net.
        folder: the artefact, unpacked.
        images: validation images, each uint8 [height, width, 3]; they are read as they are needed.
        of: the number of validation images.
        features: float [n, d], known features of validation images; n may be 0.
        earlier: folder with the bodies that were compared before (``CheckedBody``, JSON); ``None``:
            there is none.

    Returns:
        The check, and its first images as evidence.
    """
    model = OnnxPredictor(folder)
    split = SplitModel.load(folder) if model.manifest.recipe == "probe" else None
    body = _body(split) if split else ""
    known = _known(earlier, body, of) if split and earlier and len(features) else None
    difference, compared, evidence = _compared(
        serving, model, islice(images, SOME_IMAGES if known else CHECKED_IMAGES)
    )
    heads = 0
    if split and known:
        some = features[:CHECKED_IMAGES].astype(np.float32)
        answered, expected = split.probabilities(some), head_probabilities_of(serving, some)
        heads, difference = len(some), _largest(difference, answered, expected)
    elif split:
        version = model.manifest.model_version
        known = CheckedBody(
            body=body, images=compared, difference=difference, model_version=version
        )
    return ExportCheck(difference=difference, images=compared, features=heads, body=known), evidence


def _largest(difference: float, answered: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest of a difference and those of two arrays; NaN if one of them is NaN."""
    return float(np.maximum(difference, np.abs(answered - expected).max()))


def _body(split: SplitModel) -> str:
    return hashlib.sha256(f"{split.body_digest} {torch.__version__}".encode()).hexdigest()


def _compared(
    serving: ServingNet, model: OnnxPredictor, images: Iterator[np.ndarray]
) -> tuple[float, int, Evidence]:
    """Return the largest difference, the number of images, and the first images as evidence."""
    difference, compared = 0.0, 0
    evidence = Evidence([], np.empty((0, len(model.labels)), np.float32))
    while chunk := list(islice(images, _CHUNK)):
        expected = probabilities_of(serving, chunk)
        answered = model.predict_images(chunk)
        difference = _largest(difference, answered, expected)
        if not compared:
            evidence = Evidence(chunk[:SOME_IMAGES], expected[:SOME_IMAGES])
        compared += len(chunk)
    return difference, compared, evidence


def _known(folder: Path, body: str, of: int) -> CheckedBody | None:
    """Find the comparison of a body on enough images.

    Args:
        folder: with comparisons.
        body: as in ``CheckedBody``.
        of: the number of validation images. Fewer than ``CHECKED_IMAGES`` are enough as long as the
            validation split has not doubled.
    """
    found = []
    for path in folder.rglob(f"{body}-*.json"):
        try:
            found.append(CheckedBody.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            log.warning("%s is damaged and does not count: %s", path.name, error)
    best = max((one for one in found if one.body == body), key=lambda one: one.images, default=None)
    if best is None:
        return None
    enough = CHECKED_IMAGES if of >= CHECKED_IMAGES else (of + 1) // 2
    return best if best.images >= enough else None
