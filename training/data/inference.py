"""Predicting on many images of a data set: decoding runs in parallel to the net, in bounded memory."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from training.artefact.predictor import OnnxPredictor
from training.data.manifest import ManifestError, ShardReader
from training.data.set_aside import UnreadableImage, require_these
from training.images.images import ImageRejected, decode, reduced_pixels, to_array

WINDOW = 32
"""Images that are decoded while the net computes the same number."""

WINDOW_BYTES = 128_000_000
"""Most bytes of their pixels, unless a single image has more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image of a data set: a row of its manifest (``MANIFEST_SCHEMA``)."""

    sha256: str
    labels: tuple[str, ...]
    width: int
    height: int
    raw_key: str
    shard: str
    offset: int
    length: int
    group_id: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Build from a row in ``training.data.manifest.MANIFEST_SCHEMA``."""
        names = ("sha256", "width", "height", "raw_key", "shard", "offset", "length", "group_id")
        return cls(labels=tuple(row["labels"]), **{name: row[name] for name in names})


@dataclass(frozen=True)
class Answers:
    """A model's predictions for n images, in their order.

    Attributes:
        probabilities: float32 [n, labels of the model].
        decided: labels of each image.
        seconds: wall time, reading and decoding included.
        computed: number of images from whose pixels predictions were computed in that time.
        unreadable: reasons of images that cannot be read, by position; ignore their predictions.
    """

    probabilities: np.ndarray
    decided: list[tuple[str, ...]]
    seconds: float
    computed: int
    unreadable: Mapping[int, str] = field(default_factory=dict)

    def of(self, positions: Sequence[int]) -> "Answers":
        """Return the predictions for the images at some positions."""
        decided = [self.decided[position] for position in positions]
        return Answers(self.probabilities[list(positions)], decided, self.seconds, self.computed)

    @property
    def images_per_second(self) -> float:
        """Throughput; 0 for no images."""
        return self.computed / self.seconds if self.computed else 0.0


@dataclass(frozen=True)
class Computed:
    """What was computed from the pixels of n images, in their order.

    Attributes:
        values: float32 [n, width].
        seconds: wall time, reading and decoding included.
        unreadable: reasons of images that cannot be read, by position; their values are 0.
    """

    values: np.ndarray
    seconds: float
    unreadable: Mapping[int, str]


def load_pixels(sample: Sample, reader: ShardReader, fit: int) -> np.ndarray:
    """Read and decode one image of a data set.

    Args:
        sample: the image's place in its shard, size and SHA-256.
        reader: of the data set's shards.
        fit: width and height in pixels of the square that it will be resized to; a larger image
            may be reduced while it is decoded.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UnreadableImage: the image cannot be read, though it could when the data set was built.
    """
    try:
        data = reader.read(sample.shard, sample.offset, sample.length)
        require_these(data, sample.sha256, sample.raw_key)
        # The limit is its size when it was ingested, where the user's limit was applied.
        return to_array(decode(data, max_pixels=sample.width * sample.height, fit=fit))
    except ImageRejected as error:
        raise UnreadableImage(sample.raw_key, error.reason) from error
    except ManifestError as error:
        raise UnreadableImage(sample.raw_key, str(error)) from error


def predict(
    predictor: OnnxPredictor,
    samples: Sequence[Sample],
    reader: ShardReader,
    on_progress: Callable[[int], None],
) -> Answers:
    """Predict on every image, as ``compute`` does.

    Args:
        predictor: the model.
        samples: the images.
        reader: of the data set's shards.
        on_progress: called with the number of images done since the last call.
    """
    fit, width = predictor.manifest.input_size, len(predictor.labels)
    found = compute(predictor.predict_images, width, samples, reader, fit, on_progress)
    decided = predictor.decide(found.values)
    return Answers(found.values, decided, found.seconds, len(samples), found.unreadable)


def compute(
    function: Callable[[Sequence[np.ndarray]], np.ndarray],
    width: int,
    samples: Sequence[Sample],
    reader: ShardReader,
    fit: int,
    on_progress: Callable[[int], None],
) -> Computed:
    """Compute values of every image.

    At most two windows of decoded images are in memory: one in the net, one being decoded.

    Args:
        function: of images, each uint8 [height, width, 3], to float32 [images, width].
        width: number of values of an image.
        samples: the images.
        reader: of the data set's shards.
        fit: see ``load_pixels``.
        on_progress: called with the number of images done since the last call.
    """
    started = time.perf_counter()
    values = np.zeros((len(samples), width), dtype=np.float32)
    unreadable: dict[int, str] = {}
    for window in _decoded(samples, reader, fit):
        images = {
            index: pixels for index, pixels in window.items() if isinstance(pixels, np.ndarray)
        }
        unreadable |= {index: why for index, why in window.items() if isinstance(why, str)}
        if images:
            values[list(images)] = function(list(images.values()))
        on_progress(len(window))
    return Computed(values, time.perf_counter() - started, unreadable)


def _decoded(
    samples: Sequence[Sample], reader: ShardReader, fit: int
) -> Iterator[dict[int, np.ndarray | str]]:
    """Yield windows of decoded images (or reasons why there is none) by position.

    Images of equal size are in the same window, so that the net gets them in one batch.
    """

    def load(sample: Sample) -> np.ndarray | str:
        try:
            return load_pixels(sample, reader, fit)
        except UnreadableImage as error:
            return error.reason

    windows = list(_windows(samples, fit))
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as pool:

        def submit(window: list[int]) -> list[Future[np.ndarray | str]]:
            return [pool.submit(load, samples[index]) for index in window]

        try:
            coming = submit(windows[0] if windows else [])
            for number, window in enumerate(windows, start=1):
                ready, coming = coming, submit(windows[number] if number < len(windows) else [])
                found = [future.result() for future in ready]
                yield dict(zip(window, found, strict=True))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _windows(samples: Sequence[Sample], fit: int) -> Iterator[list[int]]:
    """Yield windows of positions in order of image size, within ``WINDOW`` and ``WINDOW_BYTES``."""
    order = sorted(
        range(len(samples)),
        key=lambda i: (samples[i].width, samples[i].height, samples[i].shard, samples[i].offset),
    )
    window: list[int] = []
    held = 0
    for index in order:
        pixels = 3 * reduced_pixels(samples[index].width, samples[index].height, fit)
        if window and (len(window) == WINDOW or held + pixels > WINDOW_BYTES):
            yield window
            window, held = [], 0
        window.append(index)
        held += pixels
    if window:
        yield window
