"""A tick of the arrival sensor when nothing has arrived."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypedDict

from benchmarks.processes import cpu_seconds, peak_mb, python_json, reset_peak, resident_mb
from benchmarks.result import Measurement, Result

if TYPE_CHECKING:
    import dagster as dg

    from object_store.store import ObjectStore

OBJECTS = int(os.environ.get("IMGCLF_BENCH_OBJECTS", "100000"))
FOLDERS = 10
TICKS = 10
LIMIT_S = 2.0
LIMIT_MB = 200.0


class Ticks(TypedDict):
    """Seconds of each tick; memory of the process before them, and its peak, in MB."""

    wall: list[float]
    cpu: list[float]
    before_mb: float
    peak_mb: float


def measure(scratch: Path) -> Result:
    """Make the objects and their table; tick in fresh processes, the product's and the peer's."""
    made = make_objects(scratch / "store")
    ours: Ticks = python_json("benchmarks.idle_tick", "sensor", str(scratch / "store"))
    peer: Ticks = python_json("benchmarks.idle_tick", "naive", str(scratch / "store"))
    added, peer_added = (each["peak_mb"] - each["before_mb"] for each in (ours, peer))
    return Result(
        measurements=[
            Measurement(
                what="a tick (median)",
                value=median(ours["wall"]),
                unit="s",
                limit=LIMIT_S,
                peer=median(peer["wall"]),
            ),
            Measurement(
                what="the slowest tick", value=max(ours["wall"]), unit="s", peer=max(peer["wall"])
            ),
            Measurement(
                what="CPU time of a tick (median)",
                value=median(ours["cpu"]),
                unit="CPU s",
                peer=median(peer["cpu"]),
            ),
            Measurement(
                what="memory that ticks add to the process (peak)",
                value=added,
                unit="MB",
                limit=LIMIT_MB,
                peer=peer_added,
            ),
            Measurement(
                what="memory of the process (peak)",
                value=ours["peak_mb"],
                unit="MB",
                peer=peer["peak_mb"],
            ),
        ],
        peer="os.walk and os.stat into a dict, compared with the table read into a dict: what "
        "one writes first",
        notes=[
            f"{made:,} known objects in {FOLDERS} folders; raw_images_arrival_sensor itself, "
            f"{TICKS} ticks in a process that has loaded the code location and evaluated an empty sensor; folders in the "
            "kernel's cache.",
            f"That process held {ours['before_mb']:.0f} MB before the first tick.",
        ],
    )


def make_objects(root: Path) -> int:
    """Write a store of small objects that are all in its image table; return their number."""
    from object_store.store import ObjectStore

    store = ObjectStore(url=root.as_uri())
    store.ensure()
    for folder in range(FOLDERS):
        path = root / "raw" / f"class-{folder}"
        path.mkdir(parents=True)
        for number in range(OBJECTS // FOLDERS):
            (path / f"photo-{number:06d}.jpg").write_bytes(b"%d" % number)
    return make_table(store)


def make_table(store: "ObjectStore") -> int:
    """Write the image table of all objects under ``raw/``; return their number."""
    import pyarrow as pa

    from assets.ingestion.image_index import IMAGES_SCHEMA, RAW, images_table

    listing = store.list_table(RAW)
    count = listing.num_rows
    shas = [hashlib.sha256(key.encode()).hexdigest() for key in listing["key"].to_pylist()]
    columns = {name: listing[name] for name in listing.column_names} | {
        "sha256": pa.array(shas),
        "phash": pa.array([int(sha[:16], 16) for sha in shas], pa.uint64()),
        "width": pa.array([150] * count, pa.int32()),
        "height": pa.array([150] * count, pa.int32()),
        "mode": pa.array(["RGB"] * count),
        "format": pa.array(["JPEG"] * count),
        "status": pa.array(["ok"] * count),
        "reason": pa.array([""] * count),
        "indexed_at": pa.array([datetime.now(UTC)] * count, pa.timestamp("us", tz="UTC")),
        "refused": pa.array([False] * count),
    }
    rows = pa.table([columns[name] for name in IMAGES_SCHEMA.names], schema=IMAGES_SCHEMA)
    table = images_table(store)
    for start in range(0, count, 2000):  # as raw_images appends, and then compacts
        table.append(rows.slice(start, 2000))
    table.compact()
    return int(count)


def sensor_tick(root: Path, instance: "dg.DagsterInstance") -> Callable[[], bool]:
    """Evaluate the product's sensor once; return whether it found something."""
    import dagster as dg

    from imgclf_dagster.profiles.chosen import build_line
    from imgclf_dagster.sensors.arrival import raw_images_arrival_sensor
    from imgclf_dagster.settings.root import load_settings
    from object_store.store import ObjectStore
    from resources.arrivals.arrivals import NoArrivals

    resources = {
        "store": ObjectStore(url=root.as_uri()),
        "line": build_line(load_settings()),
        "arrivals": NoArrivals(),
    }

    def tick() -> bool:
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            return not isinstance(raw_images_arrival_sensor(context), dg.SkipReason)

    return tick


def no_tick(root: Path, instance: "dg.DagsterInstance") -> None:
    """Evaluate a sensor that does nothing, to measure Dagster's own cost."""
    import dagster as dg

    from object_store.store import ObjectStore

    @dg.sensor(target="raw_images")
    def nothing(
        context: dg.SensorEvaluationContext, store: dg.ResourceParam[ObjectStore]
    ) -> dg.SkipReason:
        return dg.SkipReason(f"{len(context.instance.get_runs(limit=1))} runs")

    store = ObjectStore(url=root.as_uri())
    with dg.build_sensor_context(instance=instance, resources={"store": store}) as context:
        nothing(context)


def naive_tick(root: Path) -> Callable[[], bool]:
    """Evaluate the peer's sensor."""
    import pyarrow.parquet as pq

    def tick() -> bool:
        files = sorted((root / "tables" / "images").glob("*.parquet"))
        known = {
            row["key"]: (row["last_modified"], row["size"])
            for file in files
            for row in pq.read_table(file).to_pylist()
        }
        found = {}
        for folder, _, names in os.walk(root / "raw"):
            for name in names:
                path = Path(folder) / name
                status = path.stat()
                modified = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)
                found[path.relative_to(root).as_posix()] = (modified, status.st_size)
        return found.keys() != known.keys()

    return tick


def _child(kind: str, root: Path) -> Ticks:
    """Tick in a fresh process that has loaded the code location, as a code server has."""
    import dagster as dg

    from imgclf_dagster.definitions import build_definitions
    from imgclf_dagster.settings.root import load_settings

    home = root.parent / f"dagster-{kind}"
    home.mkdir()
    instance = dg.DagsterInstance.local_temp(str(home))
    repository = build_definitions(load_settings()).get_repository_def()
    tick = sensor_tick(root, instance) if kind == "sensor" else naive_tick(root)
    no_tick(root, instance)
    wall, cpu = [], []
    before = resident_mb()
    reset_peak()
    for _ in range(TICKS):
        started, spent = time.perf_counter(), cpu_seconds()
        if tick():
            raise RuntimeError(f"the {kind} tick found something new where nothing is")
        wall.append(time.perf_counter() - started)
        cpu.append(cpu_seconds() - spent)
    peak = peak_mb()
    del repository
    instance.dispose()
    return {"wall": wall, "cpu": cpu, "before_mb": before, "peak_mb": peak}


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], Path(sys.argv[2]))))
