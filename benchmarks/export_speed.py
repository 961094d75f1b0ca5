"""``imgclf export``: 10,000 images out of a store in a folder, and the same by a plain copy loop."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.processes import MB, BenchmarkFailed, cpu_seconds, peak_mb, reset_peak
from benchmarks.result import Measurement, Result

if TYPE_CHECKING:
    from imgclf_dagster.export.choice import ChosenDataset
    from object_store.store import ObjectStore

IMAGES = 10_000
SIZE = 20_000
CLASSES = 10
ROUNDS = 3
TIMES_SLOWER = 1.5


def measure(scratch: Path) -> Result:
    """Time the loop and the export in turn, each until all is written to disk; compare medians."""
    from object_store.store import ObjectStore

    store = ObjectStore(url=(scratch / "store").as_uri())
    store.ensure()
    dataset = make_dataset(store)
    plan = [
        (scratch / "store" / row["raw_key"], f"{row['split']}/{row['labels'][0]}")
        for row in dataset.manifest.to_pylist()
    ]
    times: dict[str, list[float]] = {"loop": [], "folder": [], "zip": []}
    cpu: dict[str, list[float]] = {"loop": [], "folder": [], "zip": []}
    reset_peak()
    before = peak_mb()
    for number in range(ROUNDS + 1):  # the first run warms up page cache and imports
        for name, work in (
            ("loop", lambda place: copy_loop(plan, place)),
            ("folder", lambda place: export(store, dataset, place)),
            ("zip", lambda place: export(store, dataset, place.with_suffix(".zip"))),
        ):
            place = scratch / f"{name}{number}"
            wall, used = _timed(work, place)
            if number:
                times[name].append(wall)
                cpu[name].append(used)
            _remove(place)
    took = {name: median(values) for name, values in times.items()}
    return Result(
        measurements=[
            Measurement(
                what="to a folder",
                value=IMAGES / took["folder"],
                unit="images/s",
                bound="at least",
                limit=IMAGES / took["loop"] / TIMES_SLOWER,
                peer=IMAGES / took["loop"],
            ),
            Measurement(
                what="to a zip",
                value=IMAGES / took["zip"],
                unit="images/s",
                bound="at least",
                peer=IMAGES / took["loop"],
            ),
            Measurement(
                what="CPU time of an export to a folder",
                value=median(cpu["folder"]),
                unit="CPU s",
                peer=median(cpu["loop"]),
            ),
            Measurement(
                what="memory that all exports added (peak)", value=peak_mb() - before, unit="MB"
            ),
        ],
        peer="shutil.copyfile of the same files from raw/ into the same folders, then os.sync()",
        notes=[
            f"{IMAGES:,} files of {SIZE / 1000:g} KB ({IMAGES * SIZE / MB:,.0f} MB), {CLASSES} "
            f"classes, {ROUNDS} rounds in turn, medians; sources in the page cache.",
            "Ours compares the SHA-256 of each image with the manifest's, ends with os.sync(), "
            "compares what is there, and counts reading the manifest; the loop does none of the "
            "first, but waits for the disk, too. Rounds of the loop took "
            f"{_range(times['loop'])} s, ours {_range(times['folder'])} s.",
        ],
    )


def make_dataset(store: "ObjectStore") -> "ChosenDataset":
    """Make a data set with random bytes as images: an export does not decode them."""
    import hashlib

    import pyarrow as pa

    from assets.dataset.assembly import ROWS_SCHEMA, Assembly
    from assets.dataset.shards import write_shards
    from assets.dataset.versions import version_of
    from assets.dataset.writing import write_dataset
    from assets.policies import SplitPolicy
    from imgclf_dagster.export.choice import choose_dataset
    from training.data.manifest import dataset_version

    source = random.Random(3)
    rows: list[dict[str, Any]] = []
    for number in range(IMAGES):
        data = source.randbytes(SIZE)
        key = f"raw/photos/part-{number // 500:03d}/{number:06d}.jpg"
        store.create(key, data)
        sha256 = hashlib.sha256(data).hexdigest()
        split = ("train", "train", "train", "val", "test")[number // CLASSES % 5]
        rows.append(
            {
                "sha256": sha256,
                "labels": [f"class {number % CLASSES}"],
                "split": split,
                "group_id": sha256[:8],
                "width": 150,
                "height": 150,
                "raw_key": key,
            }
        )
    labels = tuple(f"class {number}" for number in range(CLASSES))
    ordered = pa.Table.from_pylist(rows, schema=ROWS_SCHEMA).sort_by("sha256")
    content = dataset_version(ordered)
    version = version_of(content, "single_label", labels)
    assembly = Assembly(version, "single_label", labels, ordered, {}, [], 0)
    write_dataset(
        store, assembly, write_shards(store, assembly, progress=lambda _: None), SplitPolicy()
    )
    return choose_dataset(store, "")


def export(store: "ObjectStore", dataset: "ChosenDataset", place: Path) -> None:
    """Export ``dataset`` as class folders, as ``imgclf export`` does.

    Args:
        store: the object store with the data set.
        dataset: the data set of ``IMAGES`` images.
        place: the folder to write to.

    Raises:
        BenchmarkFailed: images are missing in the export.
    """
    from imgclf_dagster.export.choice import choose_dataset
    from imgclf_dagster.export.run import export_dataset
    from labelling.exports.formats import FORMATS

    chosen = choose_dataset(store, dataset.version)
    report = export_dataset(chosen, FORMATS["folder"], place, store=store)
    if report.written != IMAGES:
        raise BenchmarkFailed(f"{report.written:,} of {IMAGES:,} images came out")


def copy_loop(plan: list[tuple[Path, str]], place: Path) -> None:
    """The peer: a script of a few lines."""
    for source, folder in plan:
        target = place / folder / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    os.sync()


def _timed(work: Callable[[Path], None], place: Path) -> tuple[float, float]:
    """Wall and CPU seconds of ``work``."""
    os.sync()  # earlier writes are not counted
    wall, cpu = time.perf_counter(), cpu_seconds()
    work(place)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.with_suffix(".zip").unlink(missing_ok=True)


def _range(seconds: list[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f}"
