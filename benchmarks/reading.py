"""``imgclf ingest``: what is understood of a source before anything is written, and the ingest."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.photos import MISSING, NAME, copy_photos
from benchmarks.processes import cpu_seconds
from benchmarks.result import Measurement, Result

LIMIT_S = 5.0
NAMES = (10_000, 100_000, 300_000)
ROWS = (10_000, 110_000)
IMAGES = (2_000, 12_000)
CLASSES = 10
PROGRAM = "from benchmarks.reading import {0}; {0}({1!r}, {2!r})"


def measure(scratch: Path) -> Result:
    """Read folders of many names, and ingest images, each in its own process."""
    read = {count: _in_process("read_names", _names(scratch, count), scratch) for count in NAMES}
    small, large = (_in_process("take", _tiny(scratch, count), scratch) for count in IMAGES)
    listed = [_in_process("read_names", _listed(scratch, count), scratch) for count in ROWS]
    few, _, many = (read[count]["mb"] for count in NAMES)
    grown = (large["mb"] - small["mb"]) / (IMAGES[1] - IMAGES[0])
    rows = [
        Measurement(
            what="100,000 files in a folder: to the summary",
            value=read[100_000]["seconds"],
            unit="s",
            limit=LIMIT_S,
        ),
        Measurement(
            what="the same by CPU time (load of others does not count)",
            value=read[100_000]["cpu"],
            unit="CPU s",
        ),
        Measurement(
            what="memory that reading takes at its peak, per 100,000 names",
            value=(many - few) / (NAMES[2] - NAMES[0]) * 1e5,
            unit="MB",
        ),
        Measurement(
            what="the same with their labels in a CSV, per 100,000 rows",
            value=(listed[1]["mb"] - listed[0]["mb"]) / (ROWS[1] - ROWS[0]) * 1e5,
            unit="MB",
        ),
        Measurement(
            what="memory that an ingest takes at its peak, per 100,000 labelled images",
            value=grown * 1e5,
            unit="MB",
        ),
    ]
    count = copy_photos(scratch / "photos")
    if not count:
        return Result(measurements=rows, notes=[_note(), MISSING])
    done = _in_process("take", scratch / "photos", scratch)
    rows += [
        Measurement(
            what=f"ingest of {NAME}: read, checked, stored with its label",
            value=count / done["seconds"],
            unit="images/s",
            bound="at least",
        ),
        Measurement(
            what="the same by CPU time of one core",
            value=count / done["cpu"],
            unit="images/CPU s",
            bound="at least",
        ),
    ]
    return Result(measurements=rows, notes=[_note(), f"{count} JPEG files of {NAME} (150 × 150)."])


def _note() -> str:
    return (
        f"Names: empty files in {CLASSES} folders, {NAMES[0]:,} and {NAMES[2]:,} for the memory. "
        f"CSV: {ROWS[0]:,} and {ROWS[1]:,} rows, of empty files in one folder. "
        f"Labelled images: PNG of 8 × 8, {IMAGES[0]:,} and {IMAGES[1]:,}. Each in a process of its "
        "own; imports are not counted."
    )


def _names(scratch: Path, count: int) -> Path:
    folder = scratch / f"names{count}"
    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
    for number in range(count):
        (folder / f"class{number % CLASSES}" / f"IMG_{number:07d}.jpg").touch()
    return folder


def _listed(scratch: Path, count: int) -> Path:
    folder = scratch / f"listed{count}"
    (folder / "images").mkdir(parents=True)
    rows = ["file,label\n"]
    for number in range(count):
        name = f"images/IMG_{number:07d}.jpg"
        (folder / name).touch()
        rows.append(f"{name},class {number % CLASSES}\n")
    (folder / "labels.csv").write_text("".join(rows), encoding="utf-8")
    return folder


def _tiny(scratch: Path, count: int) -> Path:
    from PIL import Image

    folder = scratch / f"tiny{count}"
    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
    for number in range(count):
        image = Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, 7))
        image.save(folder / f"class{number % CLASSES}" / f"{number:06d}.png")
    return folder


def _in_process(function: str, source: Path, scratch: Path) -> dict[str, float]:
    """Run a function of this module in its own process; return what it measured."""
    report = scratch / f"{function}-{source.name}.json"
    program = PROGRAM.format(function, str(source), str(report))
    subprocess.run([sys.executable, "-c", program], check=True)
    found: dict[str, float] = json.loads(report.read_text("utf-8"))
    return found


def read_names(source: str, report: str) -> None:
    """Read a folder as ``imgclf ingest`` does for its summary."""
    from labelling.sources.findings.facts import source_facts
    from labelling.sources.read import read_source

    with _Measured(report):
        source_facts(read_source(Path(source)))


def take(source: str, report: str) -> None:
    """Ingest a folder into an empty store."""
    from assets.policies import IngestionPolicy
    from imgclf_dagster.ingest.ingest import ingest
    from labelling.labels.schema import LabelSchema
    from labelling.sources.read import read_source
    from object_store.store import ObjectStore

    store = ObjectStore(url=Path(f"{report}.store").as_uri())
    store.ensure()
    with _Measured(report):
        reading = read_source(Path(source))
        ingest(reading, store=store, policy=IngestionPolicy(), schema=LabelSchema())


class _Measured:
    """Write seconds, CPU seconds and the growth of peak memory (MB) to a file."""

    def __init__(self, report: str) -> None:
        self._report = report

    def __enter__(self) -> None:
        self._mb, self._began, self._cpu = _peak_mb(), time.monotonic(), cpu_seconds()

    def __exit__(self, *error: object) -> None:
        found = {
            "seconds": time.monotonic() - self._began,
            "cpu": cpu_seconds() - self._cpu,
            "mb": _peak_mb() - self._mb,
        }
        Path(self._report).write_text(json.dumps(found), "utf-8")


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
