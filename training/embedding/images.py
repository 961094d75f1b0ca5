"""Computing features of images, part by part; finished parts survive a restart of the job."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dagster_pipes import PipesContext

from object_store.durable import put_in_place
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.container.phases import Phases
from training.data.data import LabelledImages, resized_to_square
from training.embedding.features import packed_features
from training.images.images import ImageRejected, decode, to_array
from training.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from training.fitting.architectures import Classifier
    from training.fitting.extractor import FeatureExtractor

RESULT_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("features", pa.binary()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One row per file; a file that cannot be read has no features, but a ``reason``."""

PART_IMAGES = 512
PART_BYTES = 64 * 2**20
"""Most images of a part, and most bytes of their pixels: bounds memory, and the work that a restart
repeats."""


@dataclass(frozen=True)
class _Picture:
    """A file's pixels for the net, uint8 [size, size, 3], or the reason why there are none."""

    file: str
    sha256: str
    square: np.ndarray | None
    reason: str = ""


def embedded_parts(
    net: "Classifier", container: JobContainer, *, max_pixels: int, pipes: PipesContext
) -> Iterator[Path]:
    """Embed every file of channel ``images``; yields the parts (Parquet in ``RESULT_SCHEMA``) in order.

    Parts of an earlier attempt in the checkpoint folder are reused.

    Args:
        net: its backbone computes the features, of images that are prepared as for training.
        container: of the job.
        max_pixels: images with more are rejected.
        pipes: for progress messages.
    """
    from training.container.hardware import uses_bf16
    from training.fitting.extractor import FeatureExtractor

    folder = container.optional_channel("images") or container.root / "none"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    preprocessing = net.preprocessing
    parts = _divided(files, preprocessing.size)
    paths = [
        container.checkpoint_dir / f"features-{number:05d}.parquet" for number in range(len(parts))
    ]
    open_parts = [number for number, path in enumerate(paths) if not path.exists()]
    phases = Phases(pipes, container)
    phases.begin("embedding", "")
    left = sum(len(parts[number]) for number in open_parts)
    done = len(files) - left
    if done:
        phases.say(f"{done} of {len(files)} images were embedded before this attempt")
    extract = FeatureExtractor(net, images=left, bf16=uses_bf16(Hyperparameters()))
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as pool:

        def submit(number: int) -> list[Future[_Picture]]:
            return [
                pool.submit(_prepare, path, folder, preprocessing, max_pixels)
                for path in parts[number]
            ]

        coming = submit(open_parts[0]) if open_parts else []
        for place, number in enumerate(open_parts, start=1):
            ready = [future.result() for future in coming]
            coming = submit(open_parts[place]) if place < len(open_parts) else []
            _write_part(_embed(extract, ready), paths[number])
            done += len(ready)
            phases.count("images embedded", done, len(files))
    if files:
        phases.say(f"{len(files)} images embedded")
    yield from paths


def _divided(files: Sequence[Path], size: int) -> list[Sequence[Path]]:
    each = max(1, min(PART_IMAGES, PART_BYTES // (3 * size * size)))
    return [files[start : start + each] for start in range(0, len(files), each)]


def _prepare(path: Path, folder: Path, preprocessing: Preprocessing, max_pixels: int) -> _Picture:
    """Read and resize a file as training does, so that features are those of training."""
    data = path.read_bytes()
    file, sha256 = path.relative_to(folder).as_posix(), hashlib.sha256(data).hexdigest()
    try:
        pixels = to_array(decode(data, max_pixels=max_pixels, fit=preprocessing.size))
    except ImageRejected as error:
        return _Picture(file, sha256, None, error.reason)
    return _Picture(file, sha256, resized_to_square(pixels, preprocessing))


def _embed(extract: "FeatureExtractor", pictures: Sequence[_Picture]) -> pa.Table:
    squares = [picture.square for picture in pictures if picture.square is not None]
    values: Iterator[bytes] = iter(())
    if squares:
        targets = np.zeros(len(squares), np.int64)
        images = LabelledImages(np.stack(squares), targets, pa.table({}))
        values = iter(packed_features(extract(images)))
    return pa.Table.from_pylist(
        [
            {
                "file": picture.file,
                "sha256": picture.sha256,
                "features": None if picture.square is None else next(values),
                "reason": picture.reason,
            }
            for picture in pictures
        ],
        schema=RESULT_SCHEMA,
    )


def _write_part(rows: pa.Table, path: Path) -> None:
    """Write a part atomically."""
    partial = path.with_name(f".{path.name}.part")
    pq.write_table(rows, partial, compression="zstd")
    put_in_place(partial, path)
