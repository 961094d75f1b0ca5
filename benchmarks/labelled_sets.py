"""Data sets for the simulation of labelling: photos of scenes, photos of clothes, digits."""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.annotator_probe import AXES, on_axes
from benchmarks.photos import find_archive
from benchmarks.scenes import Scenes, photo_features, scenes
from training.config import PROBED_NETS

CLOTHES = "fashion-multilabel"


@dataclass(frozen=True)
class LabelledSet:
    """A data set as features of a frozen net, with the sizes of its simulation.

    Attributes:
        name: of the data set, for the table.
        features: float32 [n, q], q ≤ ``AXES``, in which images are compared: rotated, neither
            centred nor scaled, so that lengths and distances are those of the net's features.
        x: float32 [n, q], principal axes of the standardised features, for the probe.
        targets: int64 [n], positions in ``labels``.
        labels: the classes.
        validation: labels that every strategy has for the choice of its probe's strength.
        batch: images labelled at a time.
        most: labels at which a curve ends.
    """

    name: str
    features: np.ndarray
    x: np.ndarray
    targets: np.ndarray
    labels: tuple[str, ...]
    validation: int
    batch: int
    most: int


def labelled_sets(scratch: Path) -> list[LabelledSet]:
    """Return the data sets whose files are there; ``scratch`` is an empty folder."""
    found = [_digits()]
    photos = scenes(scratch, PROBED_NETS)
    if photos is not None:
        found.insert(0, _set("scenes", photos, validation=390, batch=25, most=700))
    clothes = _clothes()
    if clothes is not None:
        found.append(_set("clothes", clothes, validation=25, batch=6, most=94))
    return found


def _set(name: str, images: Scenes, *, validation: int, batch: int, most: int) -> LabelledSet:
    return LabelledSet(
        name=name,
        features=rotated(images.features),
        x=on_axes(images.features),
        targets=images.targets,
        labels=images.labels,
        validation=validation,
        batch=batch,
        most=most,
    )


def rotated(features: np.ndarray) -> np.ndarray:
    """Project features, float32 [n, d], on the ``AXES`` directions of the largest second moment:
    float32 [n, q]."""
    _, vectors = np.linalg.eigh(features.T @ features)
    found: np.ndarray = (features @ vectors[:, ::-1][:, :AXES]).astype(np.float32)
    return found


def _digits() -> LabelledSet:
    """Return scikit-learn's digits: 1,797 pictures of 8 × 8 pixels, which are the features."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.data.astype(np.float32)
    images = Scenes(
        sha256=np.array([hashlib.sha256(row.tobytes()).hexdigest() for row in pixels]),
        features=pixels,
        targets=digits.target.astype(np.int64),
        labels=tuple(str(digit) for digit in range(10)),
    )
    return _set("digits", images, validation=180, batch=20, most=500)


def _clothes() -> Scenes | None:
    """Return the photos of clothes with their folders as classes; ``None`` if they are missing."""
    archive = find_archive(CLOTHES)
    if archive is None:
        return None
    photos = []
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            content = tar.extractfile(member)
            if content and name.suffix.lower() in {".jpg", ".jpeg", ".png", ".gif"}:
                photos.append((name.parent.name, content.read()))
    return photo_features(photos, PROBED_NETS)
