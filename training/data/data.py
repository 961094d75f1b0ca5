"""A job's images: decoded and resized once, then read from a memory-mapped file."""

import hashlib
import json
import os
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from object_store.durable import put_in_place
from training.artefact.artefact import Task
from training.data.inference import Sample, load_pixels
from training.data.manifest import ManifestError, ShardReader, read_manifest
from training.data.set_aside import UnreadableImage, require_few
from training.errors import PermanentFailure
from training.images import memory as image_memory
from training.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]
"""Called with the numbers of images done and in all."""

Known = Callable[[list[str]], np.ndarray]
"""Images (sha256) → float16 [n, d], their known features; NaN for an image without."""

_ROWS = 256
"""Rows of a manifest that are turned into Python objects at a time."""

_CHUNK = 256
"""Images decoded between two writes, which bounds memory."""

ALWAYS_DECODED = 24
"""Images of a split whose pixels are there even if their features are known: for the preview."""


@dataclass(frozen=True)
class LabelledImages:
    """The images and targets of one split.

    Attributes:
        images: uint8 [n, size, size, 3], memory-mapped.
        targets: int64 [n], position of the label (single_label); float32 [n, classes] of 0 and 1
            (multi_label).
        rows: the manifest's rows of these images, in the same order.
        aside: reasons of images that cannot be read, by key below ``raw/``; they are left out.
        features: float16 [n, d] of images whose features are known, NaN for the others; ``None``:
            of none. The pixels of images with known features are zeros, after the first
            ``ALWAYS_DECODED``.
    """

    images: "np.ndarray | _Picked"
    targets: np.ndarray
    rows: pa.Table
    aside: Mapping[str, str] = field(default_factory=dict)
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def unknown(self) -> np.ndarray:
        """Return the positions of the images whose features are not known."""
        if self.features is None:
            return np.arange(len(self))
        return np.flatnonzero(np.isnan(self.features[:, 0]))

    def only(self, positions: np.ndarray) -> "LabelledImages":
        """Return the images at some positions, without known features; no pixel is copied."""
        picked = _Picked(self.images, positions)
        return LabelledImages(picked, self.targets[positions], self.rows.take(pa.array(positions)))


class _Picked:
    """Some of many images, which are read when they are needed."""

    def __init__(self, images: "np.ndarray | _Picked", positions: np.ndarray) -> None:
        self._images, self._positions = images, positions
        self.shape: tuple[int, ...] = (len(positions), *images.shape[1:])

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        return self._images[self._positions[positions]]


@dataclass(frozen=True)
class DataSource:
    """A data set version in a job.

    Attributes:
        root: the data set channel; holds ``<version>/manifest.parquet`` and ``shards/``.
        version: the data set version.
        task: single_label or multi_label.
        labels: names, in the order of the model's outputs.
        cache: folder for the resized images; may be lost at any time.
    """

    root: Path
    version: str
    task: Task
    labels: tuple[str, ...]
    cache: Path

    def split(
        self, name: str, how: Preprocessing, report: Progress, known: Known | None = None
    ) -> LabelledImages:
        """Load a split as square images.

        Args:
            name: of the split.
            how: size of the squares, and how images are resized to them.
            report: called with the numbers of images done and in all.
            known: gives the features of images, which are not decoded then.

        Raises:
            PermanentFailure: the split is empty, a label is not among ``labels``, or too many
                images cannot be read.
        """
        rows, what = self.rows(name), f"images of the {name} split"
        _targets(rows, self.labels, self.task)  # before hours of decoding
        identity = f"{self.version} {name} {how.size} {how.interpolation} {how.resize}"
        features = None if known is None else known(rows["sha256"].to_pylist())
        wanted = np.ones(len(rows), bool)
        if features is not None:
            wanted = np.isnan(features[:, 0])
            wanted[:ALWAYS_DECODED] = True
            identity += f" {hashlib.sha256(wanted.tobytes()).hexdigest()}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        path = self.cache / f"{name}-{key}.npy"
        if not path.exists():
            require_few(self._fill(path, rows, wanted, how, report), len(rows), what)
        aside = json.loads(_aside(path).read_text("utf-8")) if _aside(path).exists() else {}
        require_few(aside, len(rows), what)
        if aside:
            gone = pa.array(aside, pa.string())
            kept = pc.invert(pc.is_in(rows["raw_key"], value_set=gone))
            rows = rows.filter(kept)
            features = None if features is None else features[kept.to_numpy()]
        targets = _targets(rows, self.labels, self.task)
        return LabelledImages(np.load(path, mmap_mode="r"), targets, rows, aside, features)

    def originals(self, name: str, size: int) -> Iterator[np.ndarray]:
        """Decode the images of a split one by one, without resizing, as the exported graph takes them.

        Args:
            name: of the split.
            size: width and height in pixels of the squares that the graph makes of them.

        Yields:
            uint8 [height, width, 3] each; images that cannot be read are left out.
        """
        for _, pixels in self.labelled_originals(name, size):
            yield pixels

    def labelled_originals(
        self, name: str, size: int
    ) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """As ``originals``, each with its labels before it."""
        with ShardReader(self.root) as reader:
            for rows in self.rows(name).to_batches(_ROWS):
                for row in rows.to_pylist():
                    try:
                        pixels = load_pixels(Sample.from_row(row), reader, size)
                    except UnreadableImage:
                        continue
                    yield tuple(row["labels"]), pixels

    def rows(self, name: str) -> pa.Table:
        """Return the manifest's rows of split ``name``, sorted by SHA-256.

        Raises:
            PermanentFailure: there are none, or the manifest cannot be read.
        """
        try:
            table = read_manifest(self.root / self.version / "manifest.parquet")
        except ManifestError as error:
            raise PermanentFailure(f"{error}; build the data set again") from error
        rows = table.filter(pc.equal(table["split"], name)).sort_by("sha256")
        if not len(rows):
            raise PermanentFailure(
                f"the {name} split of data set {self.version} is empty: label more images "
                f"({len(table)} in all now), or raise [split] {name} before ingesting them"
            )
        return rows

    def _fill(
        self,
        path: Path,
        rows: pa.Table,
        wanted: np.ndarray,
        how: Preprocessing,
        report: Progress,
    ) -> dict[str, str]:
        """Decode and resize images of ``rows`` into ``path``, atomically.

        Args:
            path: of the .npy file.
            rows: of the manifest.
            wanted: bool [n], which of them; the pixels of the others are zeros.
            size: width and height of the images in pixels.
            report: called with the numbers of images done and in all.
            interpolation: of the resizing.

        Returns:
            Reasons of images that cannot be read, by key; they are not in the file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        aside: dict[str, str] = {}
        with (
            temporary.open("wb") as target,
            ShardReader(self.root) as reader,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):

            def prepare(row: dict[str, Any] | None) -> np.ndarray | UnreadableImage | None:
                if row is None:
                    return None
                try:
                    pixels = load_pixels(Sample.from_row(row), reader, how.size)
                    return resized_to_square(pixels, how)
                except UnreadableImage as error:
                    return error

            _write_head(target, len(rows), how.size)
            for start in range(0, len(rows), _CHUNK):
                chosen = wanted[start : start + _CHUNK]
                if not chosen.any():
                    target.seek(len(chosen) * 3 * how.size**2, os.SEEK_CUR)
                    continue
                chunk = rows.slice(start, _CHUNK).to_pylist()
                asked = (row if use else None for row, use in zip(chunk, chosen, strict=True))
                for outcome in pool.map(prepare, asked):
                    if isinstance(outcome, UnreadableImage):
                        aside[outcome.key] = outcome.reason
                    elif outcome is None:
                        target.seek(3 * how.size**2, os.SEEK_CUR)
                    else:
                        target.write(outcome.tobytes())
                report(start + len(chunk), len(rows))
            target.truncate(target.tell())
            target.seek(0)
            _write_head(target, len(rows) - len(aside), how.size)
        if len(aside) < len(rows):
            _keep_aside(path, aside)
            put_in_place(temporary, path)
        return aside


def _write_head(file: IO[bytes], count: int, size: int) -> None:
    """Write the header of a .npy file, whose length does not depend on ``count``."""
    shape = (count, size, size, 3)
    head = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def _aside(path: Path) -> Path:
    return path.with_suffix(".aside.json")


def _keep_aside(path: Path, aside: Mapping[str, str]) -> None:
    """Write the list of unreadable images; called before the images' file is put in place."""
    if not aside:
        _aside(path).unlink(missing_ok=True)
        return
    temporary = path.with_suffix(f".{os.getpid()}.json.tmp")
    temporary.write_text(json.dumps(aside), encoding="utf-8")
    put_in_place(temporary, _aside(path))


def resized_to_square(image: np.ndarray, how: Preprocessing) -> np.ndarray:
    """Resize one image with ``resize_to_squares``: uint8 [h, w, 3] → uint8 [size, size, 3].

    Args:
        image: uint8 [height, width, 3].
        how: size of the square, and how the image is resized to it.
    """
    import torch

    from training.images.preprocessing import resize_to_squares

    # The pixels and float32 values, each with a copy.
    with image_memory.reserved(30 * image.shape[0] * image.shape[1]), torch.inference_mode():
        pixels = torch.from_numpy(image.copy())[None]
        square = resize_to_squares(pixels, how.size, how.interpolation, how.resize)[0]
        return square.round().to(torch.uint8).permute(1, 2, 0).numpy()


def _targets(rows: pa.Table, labels: tuple[str, ...], task: Task) -> np.ndarray:
    """Build the targets of ``rows`` as documented in ``LabelledImages``."""
    position = {label: index for index, label in enumerate(labels)}
    listed: list[list[str]] = rows["labels"].to_pylist()
    unknown = sorted({label for row in listed for label in row} - set(labels))
    if unknown:
        raise PermanentFailure(
            f"the data set holds labels that the job's configuration lacks: {', '.join(unknown)}; "
            "add them to [labels] names in imgclf.toml or correct the annotations"
        )
    if task == "multi_label":
        targets = np.zeros((len(listed), len(labels)), np.float32)
        for index, row in enumerate(listed):
            targets[index, [position[label] for label in row]] = 1
        return targets
    several = next((i for i, row in enumerate(listed) if len(row) != 1), None)
    if several is not None:
        raise PermanentFailure(
            f"image {rows['sha256'][several]} has {len(listed[several])} labels where the task is "
            'single_label; set task = "multi_label" under [labels] in imgclf.toml'
        )
    return np.array([position[row[0]] for row in listed], np.int64)


def require_learnable(targets: np.ndarray, labels: Sequence[str]) -> None:
    """Check that the training images have examples with and without each label.

    Args:
        targets: as documented in ``LabelledImages``.
        labels: names of the classes.

    Raises:
        PermanentFailure: no image or every image has a label; the message names each.
    """
    n = len(targets)
    multi = targets.ndim == 2
    counts = targets.sum(0) if multi else np.bincount(targets, minlength=len(labels))
    missing = [label for label, count in zip(labels, counts, strict=True) if count == 0]
    constant = [label for label, count in zip(labels, counts, strict=True) if count == n]
    if len(labels) < 2 or (constant and not multi):
        raise PermanentFailure(
            f"only one class in the training images ({', '.join(constant or labels)}): there is "
            "nothing to learn. Ingest images of at least two classes."
        )
    if missing:
        raise PermanentFailure(
            f"no training image has the label {', '.join(missing)}: label some, or take it out of "
            "names under [labels] in imgclf.toml"
        )
    if constant:
        raise PermanentFailure(
            f"every training image has the label {', '.join(constant)}: label some images without "
            f"it, or remove it: imgclf labels withdraw --class {shlex.quote(constant[0])}, and take it "
            "out of names under [labels] in imgclf.toml, if it is there"
        )


class Batches:
    """Batches of a split, for Lightning's loops.

    A batch is (images float32 [b, 3, size, size] in 0…255, targets, its number). The order depends
    only on (seed, epoch), so that a resumed run gives the same result as an uninterrupted one.
    Batches differ in length by at most one, so that no batch has a single image, on which batch
    normalisation would fail.
    """

    def __init__(
        self,
        split: LabelledImages,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        share: tuple[int, int] = (0, 1),
        ahead: int = 0,
    ) -> None:
        """Divide ``split`` into batches.

        Args:
            split: the images.
            batch_size: most images of a batch over all processes.
            shuffle_seed: of the random order; default: the split's order.
            share: (rank, size): iterate over the ``rank``-th of ``size`` equal shares of each
                batch. A share may be empty.
            ahead: number of batches that a thread reads while the net computes; in pinned memory if
                there is a GPU.
        """
        self._split = split
        self._count = -(-len(split) // batch_size)
        self._seed = shuffle_seed
        self._share = share
        self._ahead = ahead
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def start_of(self, number: int) -> int:
        """Return the number of images in the batches before ``number``."""
        each, longer = divmod(len(self._split), self._count)
        return number * each + min(number, longer)

    def size_of(self, number: int) -> int:
        """Return the number of images of batch ``number``, over all shares."""
        return self.start_of(number + 1) - self.start_of(number)

    def __iter__(self) -> "Iterator[tuple[torch.Tensor, torch.Tensor, int]]":
        rank, size = self._share
        shares = [np.array_split(part, size)[rank] for part in self._parts()]
        if not self._ahead:
            for number, part in enumerate(shares):
                yield (*self._read(part), number)
            return
        with ThreadPoolExecutor(1, "batches") as pool:
            coming = deque(pool.submit(self._read, part) for part in shares[: self._ahead])
            for number in range(self._count):
                ready = coming.popleft().result()
                if number + self._ahead < self._count:
                    coming.append(pool.submit(self._read, shares[number + self._ahead]))
                yield (*ready, number)

    def batch(self, number: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return images and targets of batch ``number`` of the epoch; safe for threads."""
        return self._read(self._parts()[number])

    def _parts(self) -> list[np.ndarray]:
        """Return the positions of the images of each batch."""
        order = np.arange(len(self._split))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(order)
        return np.array_split(order, self._count)

    def _read(self, part: np.ndarray) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        ordered = np.sort(part)  # neighbours on disk are read together
        pixels = torch.from_numpy(self._split.images[ordered]).permute(0, 3, 1, 2)
        images, targets = pixels.to(torch.float32), torch.from_numpy(self._split.targets[ordered])
        if self._ahead and torch.cuda.is_available():  # copied to the GPU while it computes
            return images.pin_memory(), targets.pin_memory()
        return images, targets
