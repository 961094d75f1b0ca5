"""The features that earlier jobs computed, in the files of a job's channel.

Segments (``object_store.contents.segments``) are mapped into memory; Parquet in ``FEATURES_SCHEMA`` is
the output of an embedding job, and what older versions stored.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from object_store.contents.segments import SUFFIX, Segment, SegmentFlaw, images_of, open_segment
from training.embedding.features import FEATURES_SCHEMA, features_of
from training.errors import PermanentFailure

BATCH_ROWS = 4096
"""Rows that are read at a time, which bounds memory."""

Batch = tuple[list[str], np.ndarray]
"""Images (sha256), and their features: float32 [n, d]."""


def feature_files(folder: Path, under: str = "") -> list[Path]:
    """Return the files with features in ``folder`` (below a folder of it: ``under``), sorted."""
    kinds = (f"{under}*.parquet", f"{under}*{SUFFIX}")
    return sorted(path for kind in kinds for path in folder.rglob(kind))


def batches(path: Path) -> Iterator[Batch]:
    """Yield the features of a file, in batches of bounded size.

    Raises:
        PermanentFailure: the file is damaged.
    """
    yield from _batches(path, lambda images: np.arange(len(images)))


def features_of_images(files: Sequence[Path], images: Sequence[str]) -> np.ndarray | None:
    """Read the features of images, and of a segment only those.

    Args:
        files: with features.
        images: n images (sha256).

    Returns:
        float32 [n, d]; ``None`` if an image has no features.

    Raises:
        PermanentFailure: a file is damaged.
    """
    found = known_features(files, images, np.float32)
    return None if found is None or np.isnan(found[:, 0]).any() else found


def known_features(
    files: Sequence[Path], images: Sequence[str], dtype: npt.DTypeLike
) -> np.ndarray | None:
    """Read the features of those images that have some.

    Args:
        files: with features.
        images: n images (sha256).
        dtype: of the result.

    Returns:
        [n, d], NaN for an image without features; ``None`` if no image has any.

    Raises:
        PermanentFailure: a file is damaged.
    """
    places = {image: place for place, image in enumerate(images)}
    found: np.ndarray | None = None

    def wanted(some: list[str]) -> np.ndarray:
        return np.array([row for row, image in enumerate(some) if image in places], np.int64)

    for path in files:
        for some, features in _batches(path, wanted):
            if found is None:
                found = np.full((len(images), features.shape[1]), np.nan, dtype)
            found[[places[image] for image in some]] = features
    return found


def _batches(path: Path, choose: Callable[[list[str]], np.ndarray]) -> Iterator[Batch]:
    """Yield the rows that ``choose`` selects, by their images.

    Raises:
        PermanentFailure: the file is damaged.
    """
    try:
        if path.suffix == SUFFIX:
            yield from _of_segment(open_segment(path), choose)
        else:
            yield from _of_parquet(path, choose)
    except (SegmentFlaw, pa.ArrowException, OSError) as error:
        raise PermanentFailure(
            f"the stored features {path.name} are damaged ({error}): run `imgclf doctor --store "
            "--repair`"
        ) from error


def _of_segment(segment: Segment, choose: Callable[[list[str]], np.ndarray]) -> Iterator[Batch]:
    chosen = choose(images_of(segment.digests))
    for start in range(0, len(chosen), BATCH_ROWS):
        digests, vectors = segment.rows(chosen[start : start + BATCH_ROWS])
        yield images_of(digests), vectors.astype(np.float32)


def _of_parquet(path: Path, choose: Callable[[list[str]], np.ndarray]) -> Iterator[Batch]:
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=FEATURES_SCHEMA.names):
        rows = pa.Table.from_batches([batch])
        rows = rows.take(pa.array(choose(rows["sha256"].to_pylist())))
        if rows.num_rows:
            yield rows["sha256"].to_pylist(), features_of(rows)
