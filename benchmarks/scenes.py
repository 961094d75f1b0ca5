"""The test photos as features of a frozen network, for benchmarks of labelling."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.photos import copy_photos

WEIGHTS = ("IMGCLF_BENCH_WEIGHTS", "IMGCLF_TEST_WEIGHTS")
NO_WEIGHTS = (
    f"none of {', '.join(WEIGHTS)} points to a folder that holds mobilenet_v2.pth: set one of them"
)


@dataclass(frozen=True)
class Scenes:
    """Features of photos.

    Attributes:
        sha256: str [n], sorted, distinct.
        features: float32 [n, 1280], of frozen MobileNetV2.
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


def scenes(scratch: Path) -> Scenes | None:
    """The features of the photos; ``None`` if there are no photos (``photos.MISSING``)."""
    from training.backbones.weights import find_all_weights
    from training.config import Hyperparameters
    from training.data.data import LabelledImages
    from training.fitting.architectures import build, load_weights
    from training.fitting.extractor import FeatureExtractor

    if not copy_photos(scratch / "photos"):
        return None
    size = 160
    parameters = Hyperparameters(architecture="mobilenet_v2", image_size=size)
    files = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path
        for path in sorted((scratch / "photos").rglob("*.jpg"))
    }
    sha256 = sorted(files)
    names = [files[key].parent.name for key in sha256]
    labels = tuple(sorted(set(names)))
    images = _squares([files[key] for key in sha256], size)
    targets = np.array([labels.index(name) for name in names])
    net = build(
        parameters,
        len(labels),
        load_weights(parameters, find_all_weights("mobilenet_v2", weights_dir())),
    )
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


def _squares(files: list[Path], size: int) -> np.ndarray:
    """Resize images as a training job does: uint8 [n, size, size, 3]."""
    from concurrent.futures import ThreadPoolExecutor

    from training.data.data import resized_to_square
    from training.images.images import decode
    from training.images.preprocessing import Preprocessing

    how = Preprocessing(size=size)

    def square(path: Path) -> np.ndarray:
        return resized_to_square(np.asarray(decode(path.read_bytes(), fit=size)), how)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(square, files)))


def weights_dir() -> Path | None:
    """The folder of MobileNetV2's weights, if an environment variable names it."""
    folders = (Path(os.environ[name]) for name in WEIGHTS if os.environ.get(name))
    return next((folder for folder in folders if (folder / "mobilenet_v2.pth").is_file()), None)
