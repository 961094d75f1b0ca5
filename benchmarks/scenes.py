"""The test photos as features of frozen nets, for benchmarks of labelling."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.photos import copy_photos
from training.images.preprocessing import Preprocessing

WEIGHTS = ("IMGCLF_BENCH_WEIGHTS", "IMGCLF_TEST_WEIGHTS")
NO_WEIGHTS = (
    f"none of {', '.join(WEIGHTS)} points to a folder that holds mobilenet_v2.pth: set one of them"
)


@dataclass(frozen=True)
class Scenes:
    """Features of photos.

    Attributes:
        sha256: str [n], sorted, distinct.
        features: float32 [n, d], of the frozen net.
        targets: int64 [n], positions in ``labels``.
        labels: the folders' names.
    """

    sha256: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    labels: tuple[str, ...]


def missing() -> str:
    """What is missing for ``scenes``; empty if nothing is."""
    return "" if weights_dir() else NO_WEIGHTS


def scenes(scratch: Path, architecture: str = "mobilenet_v2") -> Scenes | None:
    """The features of the photos; ``None`` if there are no photos (``photos.MISSING``).

    Args:
        scratch: the photos are copied there.
        architecture: the frozen net, or several joined by ``+``; mobilenet_v2 sees 160 pixels,
            others their own size.
    """
    if not copy_photos(scratch / "photos"):
        return None
    paths = sorted((scratch / "photos").rglob("*.jpg"))
    return photo_features([(path.parent.name, path.read_bytes()) for path in paths], architecture)


def photo_features(photos: Iterable[tuple[str, bytes]], architecture: str) -> Scenes:
    """Compute the features of photos, each of which counts once.

    Args:
        photos: the class and the file of each photo.
        architecture: the frozen net, or several joined by ``+``.
    """
    from training.backbones.weights import find_all_weights
    from training.config import Hyperparameters
    from training.data.data import LabelledImages
    from training.fitting.architectures import build, load_weights
    from training.fitting.extractor import FeatureExtractor

    files = {hashlib.sha256(data).hexdigest(): (name, data) for name, data in photos}
    sha256 = sorted(files)
    names = [files[key][0] for key in sha256]
    labels = tuple(sorted(set(names)))
    targets = np.array([labels.index(name) for name in names])
    size = 160 if architecture == "mobilenet_v2" else None
    parameters = Hyperparameters(architecture=architecture, image_size=size)
    weights = load_weights(parameters, find_all_weights(architecture, weights_dir()))
    net = build(parameters, len(labels), weights)
    images = _squares([files[key][1] for key in sha256], net.preprocessing)
    split = LabelledImages(images, targets, pa.table({}))
    features = FeatureExtractor(net, images=len(split), bf16=False)(split)
    return Scenes(np.array(sha256), features, targets, labels)


def saved(found: Scenes, scratch: Path) -> Path:
    """Save ``found`` to a file for other processes; return its path."""
    file = scratch / "scenes.npz"
    np.savez(file, **vars(found))
    return file


def load(file: str | Path) -> Scenes:
    """Load what ``saved`` has written."""
    with np.load(file) as data:
        labels = tuple(data["labels"].tolist())
        return Scenes(data["sha256"], data["features"], data["targets"], labels)


def _squares(files: list[bytes], how: Preprocessing) -> np.ndarray:
    """Resize images as a training job does: uint8 [n, size, size, 3]."""
    from concurrent.futures import ThreadPoolExecutor

    from training.data.data import resized_to_square
    from training.images.images import decode

    def square(data: bytes) -> np.ndarray:
        return resized_to_square(np.asarray(decode(data, fit=how.size)), how)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(square, files)))


def weights_dir() -> Path | None:
    """The folder of MobileNetV2's weights, if an environment variable names it."""
    folders = (Path(os.environ[name]) for name in WEIGHTS if os.environ.get(name))
    return next((folder for folder in folders if (folder / "mobilenet_v2.pth").is_file()), None)
