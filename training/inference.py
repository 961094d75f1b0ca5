"""A model's answers to many images of a data set, streamed: decoding overlaps the net, and
memory does not grow with the number of images.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from training.errors import PermanentFailure
from training.images import ImageRejected, decode, to_array
from training.manifest import ShardReader
from training.predictor import OnnxPredictor

WINDOW = 32
"""Images decoded ahead while the net works on as many."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image of a data set: a row of its manifest."""

    sha256: str
    labels: tuple[str, ...]
    width: int
    height: int
    raw_key: str
    shard: str
    offset: int
    length: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a row in ``training.manifest.MANIFEST_SCHEMA``."""
        names = ("sha256", "width", "height", "raw_key", "shard", "offset", "length")
        return cls(labels=tuple(row["labels"]), **{name: row[name] for name in names})


@dataclass(frozen=True)
class Answers:
    """What a model answered to ``n`` images, in their order.

    Attributes:
        probabilities: float32 [n, labels of the model].
        decided: the labels given to each image.
        seconds: wall time, reading and decoding included.
    """

    probabilities: np.ndarray
    decided: list[tuple[str, ...]]
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Throughput; 0 for no images."""
        return len(self.decided) / self.seconds if self.decided else 0.0


def load_pixels(sample: Sample, reader: ShardReader, fit: int) -> np.ndarray:
    """The decoded image: uint8 [height, width, 3], reduced for a square of ``fit`` pixels.

    Raises:
        PermanentFailure: the image cannot be read; it could when it came into the data set.
    """
    data = reader.read(sample.shard, sample.offset, sample.length)
    try:
        # As many pixels as it had when it was let in: the user's bound was applied there.
        return to_array(decode(data, max_pixels=sample.width * sample.height, fit=fit))
    except ImageRejected as error:
        raise PermanentFailure(
            f"{sample.raw_key} (sha256 {sample.sha256[:12]}…) of the data set cannot be read: "
            f"{error.reason}; delete it from raw/ and build the data set again"
        ) from error


def predict(
    predictor: OnnxPredictor,
    samples: Sequence[Sample],
    reader: ShardReader,
    on_progress: Callable[[int], None],
) -> Answers:
    """Answer every image.

    At most two windows of decoded images are held: one in the net, one being decoded.

    Args:
        predictor: the model.
        samples: what to answer.
        reader: of the data set's shards.
        on_progress: called with the number of images just answered.

    Raises:
        PermanentFailure: an image cannot be read.
        ManifestError: a shard cannot be read.
    """
    started = time.perf_counter()
    probabilities = np.empty((len(samples), len(predictor.labels)), dtype=np.float32)
    for indices, images in _decoded(samples, reader, predictor.manifest.input_size):
        probabilities[indices] = predictor.predict_images(images)
        on_progress(len(indices))
    decided = predictor.decide(probabilities)
    return Answers(probabilities, decided, time.perf_counter() - started)


def _decoded(
    samples: Sequence[Sample], reader: ShardReader, fit: int
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Windows of decoded images, equal sizes together so that the net gets them at once."""
    order = sorted(
        range(len(samples)),
        key=lambda i: (samples[i].width, samples[i].height, samples[i].shard, samples[i].offset),
    )
    windows = [order[i : i + WINDOW] for i in range(0, len(order), WINDOW)]
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as pool:

        def submit(window: list[int]) -> list[Future[np.ndarray]]:
            return [pool.submit(load_pixels, samples[index], reader, fit) for index in window]

        try:
            coming = submit(windows[0] if windows else [])
            for number, window in enumerate(windows, start=1):
                ready, coming = coming, submit(windows[number] if number < len(windows) else [])
                yield window, [future.result() for future in ready]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
