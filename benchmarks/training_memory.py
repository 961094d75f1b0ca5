"""Peak memory of training jobs on a data set, and on one that is ten times as large."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.memory import POLL_S, peaks_of
from benchmarks.result import Measurement, Result

if TYPE_CHECKING:
    from training.data.data import LabelledImages

TIMEOUT_S = 1800.0
IMAGES, TIMES = 1_000, 10
MOST_GROWTH = 1.1
STEPS = 24
"""Training steps of a fine-tuning; a step takes the same memory wherever its images lie."""

CLASSES = 10
SPLITS = ("train", "train", "train", "train", "val")
VERSION = "made"
SIDE = 128
WIDTH = 2_560
"""Features of an image of the default nets of a probe."""

FITTED_ON = (10_000, 40_000)
"""Images on whose features a head is fitted, by the same algorithm: fewer are cross-validated, or fitted
by scikit-learn."""


def measure(scratch: Path) -> Result:
    """Run each kind of job on both data sets, in processes of their own; compare peaks."""
    from training.fitting.head_start import MOST_IMAGES

    sizes = (IMAGES, IMAGES * TIMES)
    for size in sizes:
        make_dataset(scratch / str(size), size)
    stages = [_peaks("job", scratch / str(size)) for size in sizes]
    passed = [without_features(_peak("pass", scratch / str(size)), size * 4 // 5) for size in sizes]
    fitted = [_peak("fit", scratch / "fit" / str(size)) for size in FITTED_ON]
    each = bytes_an_image(fitted, FITTED_ON)
    return Result(
        measurements=[
            *_compared("`finetune`, the whole job", [max(peaks.values()) for peaks in stages]),
            *_compared("a probe's pass of images through the nets, without its result", passed),
            Measurement(
                what=f"a probe's fit: memory an image, of {WIDTH:,} features",
                value=each / 1e3,
                unit="kB",
            ),
            Measurement(what="the same for each feature", value=each / WIDTH, unit="bytes"),
        ],
        notes=[
            f"{sizes[0]:,} and {sizes[1]:,} images (JPEG of {SIDE} × {SIDE}), a fifth of them for "
            f"validation, {CLASSES} classes; each number is of a process of its own.",
            "Counted is anonymous and shared memory: PSS of all processes of the job, every "
            f"{POLL_S:g} s. Pages of files are not: a job reads its images from a memory-mapped "
            "file, whose pages the system keeps while nobody else needs the memory, and drops "
            "without writing them.",
            f"`finetune` is the whole job (`python -m training.train`, default net, size and batch), "
            f"but for {STEPS} steps in its only epoch, drawn from the whole data set. Peaks of its "
            f"phases, MB: {_by_stage(*stages)}.",
            "What grows in it is the table of the data set's rows, and the features that the head "
            f"starts from: of {MOST_IMAGES:,} images at most.",
            "The pass is of the default nets of a probe over the images to train on; its result, "
            f"{4 * WIDTH:,} bytes an image, is taken off.",
            f"The fit is of {FITTED_ON[0]:,} and {FITTED_ON[1]:,} images. It keeps all features in "
            "memory: as they were read, and as they are kept (2 bytes each), as float32, and "
            "standardised; those of the images to fit on twice for a moment.",
        ],
    )


def _compared(what: str, peaks: list[float]) -> list[Measurement]:
    small, large = peaks
    return [
        Measurement(
            what=f"{what}: peak on {TIMES} × the images, as a multiple",
            value=large / small,
            unit="",
            limit=MOST_GROWTH,
        ),
        Measurement(what=f"{what}: peak on {IMAGES:,} images", value=small, unit="MB"),
        Measurement(what=f"{what}: peak on {IMAGES * TIMES:,} images", value=large, unit="MB"),
    ]


def _by_stage(small: dict[str, float], large: dict[str, float]) -> str:
    return ", ".join(
        f"{stage} {small.get(stage, 0.0):,.0f} → {large[stage]:,.0f}" for stage in large if stage
    )


def without_features(peak_mb: float, images: int) -> float:
    """Take the features of all images, float32, off a peak in MB."""
    return peak_mb - 4 * images * WIDTH / 1e6


def bytes_an_image(peaks_mb: list[float], sizes: tuple[int, int]) -> float:
    """Return by how many bytes the peak grows with each image."""
    return (peaks_mb[1] - peaks_mb[0]) * 1e6 / (sizes[1] - sizes[0])


def _peak(kind: str, root: Path) -> float:
    return max(_peaks(kind, root).values())


def _peaks(kind: str, root: Path) -> dict[str, float]:
    """Run a child process; return its peaks in MB, by phase of the job."""
    command = [sys.executable, "-m", "benchmarks.training_memory", kind, str(root)]
    return peaks_of(command, lambda: stage_of(root))


def stage_of(root: Path) -> str:
    """Return the phase that a job's progress file tells, with what it counts in a fit."""
    from training.container.progress_file import PROGRESS

    try:
        told = json.loads((root / PROGRESS).read_bytes())
    except OSError:
        return ""
    phase, what = told.get("phase") or "", told.get("what")
    return f"{phase} ({what})" if phase == "fit" and what else phase


# --- the data set ----------------------------------------------------------------------------


def make_dataset(root: Path, count: int) -> None:
    """Lay out a training job's container with a data set of made images.

    Args:
        root: of the container.
        count: number of images.
    """
    import pyarrow as pa

    from training.config import Hyperparameters
    from training.data.manifest import CARD, MANIFEST_SCHEMA, build_shards, write_manifest

    channel, files = root / "input" / "data" / "dataset", dict(_pictures(count))
    (channel / "shards").mkdir(parents=True)
    (channel / VERSION).mkdir()
    rows: list[dict[str, Any]] = []
    for shard in build_shards(sorted(files.items())):
        (channel / shard.name).write_bytes(shard.data)
        for member in shard.members:
            number = len(rows)
            rows.append(
                {
                    "sha256": member.sha256,
                    "labels": [f"class {_class_of(files[member.sha256])}"],
                    "split": SPLITS[number % len(SPLITS)],
                    "group_id": member.sha256[:16],
                    "width": SIDE,
                    "height": SIDE,
                    "raw_key": f"raw/made/{number:07d}.jpg",
                    "shard": shard.name,
                    "offset": member.offset,
                    "length": member.length,
                }
            )
    table = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)
    (channel / VERSION / "manifest.parquet").write_bytes(write_manifest(table))
    card = {"task": "single_label", "labels": _labels()}
    (channel / VERSION / CARD).write_text(json.dumps(card), encoding="utf-8")
    job = Hyperparameters(recipe="finetune", epochs=1)
    given = {**job.to_strings(), "dataset_version": VERSION, "model_version": "train-000000000000"}
    (root / "input" / "config").mkdir()
    path = root / "input" / "config" / "hyperparameters.json"
    path.write_text(json.dumps(given), encoding="utf-8")
    _give_weights(root, job.architecture)


def _labels() -> list[str]:
    return [f"class {number}" for number in range(CLASSES)]


def _class_of(data: bytes) -> int:
    """Return the class of a picture, which is in its comment."""
    from io import BytesIO

    from PIL import Image

    comment: bytes = Image.open(BytesIO(data)).info["comment"]
    return int(comment)


def _pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield hashes and files of pictures: blots, with a colour of their class."""
    import hashlib
    from io import BytesIO

    from PIL import Image

    draw = np.random.default_rng(0)
    tints = draw.integers(0, 156, (CLASSES, 3))
    for number in range(count):
        label = number % CLASSES
        small = (tints[label] + draw.integers(0, 100, (8, 8, 3))).astype(np.uint8)
        buffer = BytesIO()
        picture = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(buffer, "JPEG", comment=str(label).encode())
        data = buffer.getvalue()
        yield hashlib.sha256(data).hexdigest(), data


def _give_weights(root: Path, architecture: str) -> None:
    from training.backbones.weights import find_all_weights, weights_channel_of

    for number, path in enumerate(find_all_weights(architecture, None)):
        assert path is not None, "the extra weights is not installed"
        channel = root / "input" / "data" / weights_channel_of(number)
        channel.mkdir()
        (channel / path.name).symlink_to(path)


# --- in child processes ----------------------------------------------------------------------


def _job(root: Path) -> None:
    """Run the training job, with few steps in its epoch."""
    import os

    from training.container.container import ROOT_VARIABLE
    from training.container.hardware import yield_cores

    yield_cores()  # as the job does, before PyTorch is imported
    os.environ[ROOT_VARIABLE] = str(root)
    from training import train
    from training.fitting import fit

    fit.Batches = few_batches(STEPS)  # type: ignore[attr-defined]
    train.main()


def few_batches(most: int) -> Any:
    """Return a class of batches that gives only the first ones of each epoch."""
    from itertools import islice

    from training.data.data import Batches

    class FewBatches(Batches):
        """The first batches; they are drawn from all images."""

        def __len__(self) -> int:
            return min(most, super().__len__())

        def __iter__(self) -> Iterator[Any]:
            return islice(super().__iter__(), most)

    return FewBatches


def _pass(root: Path) -> None:
    """Compute the features of all images to train on, as a probe does."""
    from training.backbones.weights import find_all_weights
    from training.config import PROBED_NETS, Hyperparameters
    from training.container.hardware import uses_bf16
    from training.data.data import DataSource
    from training.fitting.architectures import build, load_weights
    from training.fitting.extractor import FeatureExtractor

    job = Hyperparameters()
    net = build(job, CLASSES, load_weights(job, find_all_weights(PROBED_NETS, None)))
    assert net.head.in_features == WIDTH
    # The job before this one has left its resized images there.
    channel, labels = root / "input" / "data" / "dataset", tuple(_labels())
    source = DataSource(channel, VERSION, "single_label", labels, root / "scratch")
    split = source.split("train", net.preprocessing, lambda done, total: None)
    FeatureExtractor(net, images=len(split), bf16=uses_bf16(job))(split)


def _fit(root: Path) -> None:
    """Fit the head of a probe on features that are known; the folder's name is their number."""
    from torch import nn

    from training.fitting.architectures import Classifier
    from training.fitting.probe import fit_probe

    count = int(root.name)
    fit_probe(
        Classifier(nn.Identity(), WIDTH, CLASSES),
        task="single_label",
        train=_known(count * 4 // 5),
        val=_known(count // 5),
        progress=lambda done, total: None,
        report=lambda numbers: None,
        bf16=False,
    )


def _known(count: int) -> "LabelledImages":
    """Return images whose features are known."""
    import pyarrow as pa

    from training.data.data import LabelledImages

    draw = np.random.default_rng(count)
    targets = draw.integers(0, CLASSES, count)
    features = np.empty((count, WIDTH), np.float16)
    for start in range(0, count, 1_000):
        part = features[start : start + 1_000]
        part[:] = draw.normal(size=part.shape)
        part[np.arange(len(part)), targets[start : start + 1_000]] += 1
    names = [str(number) for number in range(count)]
    rows = pa.table({"sha256": names, "group_id": names})
    return LabelledImages(np.zeros((count, 1, 1, 3), np.uint8), targets, rows, features=features)


if __name__ == "__main__":
    {"job": _job, "pass": _pass, "fit": _fit}[sys.argv[1]](Path(sys.argv[2]))
