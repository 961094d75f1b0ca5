"""Export of a data set from the store in a format of other programs."""

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.ingestion.image_index import images_table
from assets.line import fingerprint
from imgclf_dagster.export.archive import ZipTarget
from imgclf_dagster.export.choice import ChosenDataset
from imgclf_dagster.export.errors import ExportError
from imgclf_dagster.export.folder import FolderTarget
from imgclf_dagster.export.images import DatasetImages, ImageUnreadable
from imgclf_dagster.export.target import Image, NameRefused, Target, require_outside
from labelling.exports.contents import Contents, ExportFormat, ExportImage, Layout
from labelling.exports.readme import readme
from object_store.store import ObjectStore
from object_store.transfer import Progress, at_once, workers

Row = Mapping[str, Any]
_LAYOUT_VERSION = 1
"""Increased with each change of the layout, so that a run of an older layout is not continued."""

_BATCH_IMAGES = 32
_BATCH_BYTES = 2**22

_ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")


@dataclass
class ExportReport:
    """The result of an export.

    Attributes:
        version: version of the data set.
        format: name of the format.
        place: the folder or zip.
        asked: images of the data set.
        written: images in the export.
        kept: those of them from an interrupted run.
        size: size of the images (bytes).
        counts: images by class and split.
        splits: images by split.
        aside: key and reason of the images left out.
        renamed: folder of each label that cannot be the name of a folder.
        notes: sentences on how programs read the export.
        mended: damaged shards whose images were read from ``raw/``.
        reading: lines that show how to read the export.
        seconds: wall time (s).
    """

    version: str
    format: str
    place: Path
    asked: int
    written: int = 0
    kept: int = 0
    size: int = 0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    aside: list[tuple[str, str]] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    reading: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """The result for one image.

    Attributes:
        row: its row of the manifest.
        image: its place in the export.
        data: bytes that are still to be written, if any.
        kept: whether an interrupted run wrote it.
        problem: why it is left out; "" if it is not.
    """

    row: Row
    image: Image
    data: bytes | None = None
    kept: bool = False
    problem: str = ""


def export_dataset(
    dataset: ChosenDataset,
    form: ExportFormat,
    place: Path,
    *,
    store: ObjectStore,
    on_progress: Progress | None = None,
) -> ExportReport:
    """Write a data set to a folder or a zip.

    The place stays empty until the export is complete. An interrupted export into a folder is
    continued. An image that cannot be read is left out and reported.

    Args:
        dataset: the version, its card and its manifest.
        form: the format.
        place: path of the folder or of the ``.zip``.
        store: holds the data set.
        on_progress: called with the number of images done and of all images.

    Raises:
        CannotHold: the format cannot express the data set.
        ExportError: the place is taken or cannot be written, or the disk is full.
        StoreError: the store does not answer.
    """
    begun = time.monotonic()
    place = place.expanduser().resolve()
    require_outside(place, store.root)
    target, top = _target(place, dataset)
    rows = {row["sha256"]: row for row in dataset.manifest.to_pylist()}
    contents = _contents(store, dataset, rows, top)
    layout = form.layout(contents)
    report = ExportReport(dataset.version, form.name, place, asked=len(rows))
    identity = fingerprint([_LAYOUT_VERSION, dataset.version, form.name, top])
    description = f"data set {dataset.version} as {form.name}"
    sizes = _sizes(rows, layout)
    try:
        target.begin(identity=identity, description=description, need=sum(sizes.values()))
        there = _write_images(store, target, rows, layout, report, on_progress)
        whole = replace(contents, images=tuple(i for i in contents.images if i.sha256 in there))
        if not there:
            raise ExportError(f"no image of {description} can be read: {report.aside[0][1]}")
        for folder in layout.folders:
            target.make_folder(folder)
        for file in (*form.files(whole, layout), readme(whole, layout, form)):
            target.write_text(file.path, file.text)
        written = {layout.paths[sha256]: rows[sha256]["length"] for sha256 in there}
        target.finish(written)
    finally:
        target.leave()
    report.written, report.size = len(written), sum(written.values())
    report.counts = whole.counts()
    report.splits = {split: len(whole.of(split)) for split in whole.splits}
    report.renamed, report.notes = dict(layout.renamed), list(layout.notes)
    report.reading = _reading(form, whole, layout, place)
    report.seconds = time.monotonic() - begun
    return report


def _reading(form: ExportFormat, contents: Contents, layout: Layout, place: Path) -> str:
    if place.name != contents.place:  # of a zip
        return f"unzip {shlex.quote(str(place))}\n{form.reading(contents, layout)}"
    return form.reading(replace(contents, place=str(place)), layout)


def _target(place: Path, dataset: ChosenDataset) -> tuple[Target, str]:
    """Return the target, and the name of the folder in which the export will be."""
    suffix = place.suffix.lower()
    if suffix in _ARCHIVES:
        raise ExportError(f"{place}: of archives, only .zip is written; name a folder or a .zip")
    if suffix != ".zip":
        return FolderTarget(place), place.name
    moment = datetime.fromisoformat(str(dataset.card["created_at"])).astimezone(UTC)
    return ZipTarget(place, top=place.stem, moment=moment), place.stem


def _sizes(rows: Mapping[str, Row], layout: Layout) -> dict[str, int]:
    return {layout.paths[sha256]: row["length"] for sha256, row in rows.items()}


def _contents(
    store: ObjectStore, dataset: ChosenDataset, rows: Mapping[str, Row], top: str
) -> Contents:
    formats = _formats(store, rows)
    images = [
        ExportImage(
            sha256=sha256,
            file=row["raw_key"].partition("/")[2].partition("/")[2] or row["raw_key"],
            labels=tuple(row["labels"]),
            split=row["split"],
            width=row["width"],
            height=row["height"],
            format=formats.get(sha256, ""),
        )
        for sha256, row in sorted(rows.items(), key=lambda item: item[1]["raw_key"])
    ]
    return Contents(
        version=dataset.version,
        task=dataset.card["task"],
        created_at=str(dataset.card.get("created_at", "")),
        labels=tuple(dataset.card["labels"]),
        images=tuple(images),
        place=top,
    )


def _formats(store: ObjectStore, rows: Mapping[str, Row]) -> dict[str, str]:
    """Return the image formats, by sha256, of images whose suffix does not show it."""
    plain = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
    odd = [sha256 for sha256, row in rows.items() if not row["raw_key"].lower().endswith(plain)]
    if not odd:
        return {}
    # Damage is ignored: without its format, an image keeps a name without suffix.
    table = images_table(store, on_damage=lambda _: None).read(["sha256", "format"])
    table = table.filter(pc.is_in(table["sha256"], value_set=pa.array(odd, pa.string())))
    return dict(zip(table["sha256"].to_pylist(), table["format"].to_pylist(), strict=True))


def _write_images(
    store: ObjectStore,
    target: Target,
    rows: Mapping[str, Row],
    layout: Layout,
    report: ExportReport,
    on_progress: Progress | None,
) -> set[str]:
    """Write all images and return the sha256 of those in the export."""
    # In the order of the shards, which a disk reads sequentially.
    ordered = sorted(rows.values(), key=lambda row: (row["shard"], row["offset"]))
    there: set[str] = set()
    with closing(DatasetImages(store)) as images:
        outcomes = at_once(
            lambda batch: [_take(images, target, row, layout) for row in batch],
            _batches(ordered, 1 if store.is_bucket else _BATCH_IMAGES),
            threads=workers(store),
            weigh=lambda batch: sum(row["length"] for row in batch),
        )
        for done, taken in enumerate(chain.from_iterable(outcomes), start=1):
            if taken.problem:
                report.aside.append((taken.row["raw_key"], taken.problem))
            else:
                if taken.data is not None:
                    target.write(taken.image, taken.data)
                there.add(taken.row["sha256"])
                report.kept += taken.kept
            if on_progress is not None:
                on_progress(done, len(ordered))
        report.mended = sorted(images.mended)
    return there


def _take(images: DatasetImages, target: Target, row: Row, layout: Layout) -> Taken:
    """Read an image, and write it if the target allows several threads."""
    image = Image(layout.paths[row["sha256"]], row["sha256"], row["length"])
    try:
        if target.has(image):
            return Taken(row, image, kept=True)
        data = images.read(row)
        if target.parallel:
            target.write(image, data)
            return Taken(row, image)
    except (ImageUnreadable, NameRefused) as error:
        return Taken(row, image, problem=str(error))
    return Taken(row, image, data=data)


def _batches(rows: list[Row], most: int) -> Iterator[list[Row]]:
    """Split the rows into batches of at most ``most`` images and about 4 MB."""
    # Handing each small image of a local folder to a thread would cost more than reading it.
    batch: list[Row] = []
    size = 0
    for row in rows:
        if batch and (len(batch) == most or size + row["length"] > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row["length"]
    if batch:
        yield batch
