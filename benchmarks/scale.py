"""A hundred new labels among very many images: what the graph spends on the tables."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from benchmarks.processes import cpu_seconds, peak_mb, python_json, reset_peak, resident_mb
from benchmarks.result import Measurement, Result
from benchmarks.scale_store import NEW, make_store, opened, say_new_labels
from benchmarks.servers import aws_variables, fast_s3, moto

if TYPE_CHECKING:
    import dagster as dg

SIZES = tuple(
    int(size) for size in os.environ.get("IMGCLF_BENCH_SCALE_IMAGES", "100000,1000000").split(",")
)
FEATURES = int(os.environ.get("IMGCLF_BENCH_SCALE_FEATURES", "100000"))
DIMENSION = 1280
GATHER_LIMITS = {100_000: (1.5, 400.0), 1_000_000: (5.0, 1200.0)}
"""Number of images to CPU seconds and peak MB of the process."""
WRITTEN_LIMIT_S = 5.0
NOTICED = f"notified of {NEW} new ones"
TICK_LIMITS = (1.0, 300.0)
FEATURES_LIMIT_MB = 8 * FEATURES / 1e6 + 0.6
"""8 bytes of each known image, and twice what is new: a hundred rows of 1,280 features are 0.26 MB."""


class Spent(TypedDict):
    """CPU seconds, and memory in MB: the process's peak, and before."""

    cpu_s: float
    peak_mb: float
    before_mb: float


class Built(TypedDict):
    """The cost of the asset ``dataset``.

    Attributes:
        gather: of joining the tables, before anything is packed.
        rest: of all that follows.
        written_cpu_s: CPU seconds of writing manifest and card, a part of ``rest``.
    """

    gather: Spent
    rest: Spent
    written_cpu_s: float


class _Run(Built):
    version: str


def measure(scratch: Path) -> Result:
    """Make each store, then measure in fresh processes."""
    found: list[Measurement] = []
    for size in SIZES:
        root = str(scratch / f"store-{size}")
        python_json("benchmarks.scale", "make", root, str(size))
        built: Built = python_json("benchmarks.scale", "dataset", root)
        found += _of_dataset(size, built)
        shutil.rmtree(root)
    with moto() as sqs:
        for size in SIZES[-1:]:
            with fast_s3(made=size, latency_ms=1) as s3, aws_variables(s3=s3, sqs=sqs):
                found += _of_tick(size, python_json("benchmarks.scale", "tick", str(size)))
    root = str(scratch / "features")
    python_json("benchmarks.scale", "features", root)
    found += _of_features(python_json("benchmarks.scale", "embed", root))
    return Result(
        measurements=found,
        notes=[
            f"{NEW} images get a label from an annotator; 90% have one of an ingest, 5% one of "
            "annotators, 5% none, and every fiftieth is a near-duplicate. Tables are written by "
            "the product's own writer; the shards are empty files of the right length, but for the "
            f"{NEW} new images, which are packed.",
            "Memory is that of the whole process, which has loaded Dagster and the assets; of the "
            "tick it is what is added.",
            "After the joins: the places in the shards, manifest, card, sources, the decision to "
            "train again (it reads two manifests), and what the asset tells. Contact sheets are left out: they cost by classes, not by images.",
            "Of features, what is memory-mapped counts with the rows that are used.",
            "The tick is raw_images_arrival_sensor with a queue (moto) and a bucket "
            "(benchmarks/s3_server.py); the other one also looks at a window of the sweep.",
        ],
    )


def _of_dataset(size: int, built: Built) -> list[Measurement]:
    cpu, memory = GATHER_LIMITS.get(size, (None, None))
    known, gather, rest = f"{size:,} images, {NEW} new labels", built["gather"], built["rest"]
    return [
        Measurement(
            what=f"{known}: `dataset` before packing",
            value=gather["cpu_s"],
            unit="CPU s",
            limit=cpu,
        ),
        Measurement(
            what=f"{known}: memory of it (peak)", value=gather["peak_mb"], unit="MB", limit=memory
        ),
        Measurement(
            what=f"{known}: manifest and card",
            value=built["written_cpu_s"],
            unit="CPU s",
            limit=WRITTEN_LIMIT_S,
        ),
        Measurement(
            what=f"{known}: all after the joins, manifest and card among it",
            value=rest["cpu_s"],
            unit="CPU s",
        ),
        Measurement(what=f"{known}: memory of that (peak)", value=rest["peak_mb"], unit="MB"),
    ]


def _of_tick(size: int, ticks: dict[str, Spent]) -> list[Measurement]:
    found = []
    for kind, spent in ticks.items():
        cpu, memory = TICK_LIMITS if kind == NOTICED else (None, None)
        what = f"{size:,} objects: a tick of the arrival sensor {kind}"
        added = spent["peak_mb"] - spent["before_mb"]
        found += [
            Measurement(what=what, value=spent["cpu_s"], unit="CPU s", limit=cpu),
            Measurement(what=f"{what}, memory added", value=added, unit="MB", limit=memory),
        ]
    return found


def _of_features(moved: dict[str, float]) -> list[Measurement]:
    what = f"embeddings: {NEW} new among {FEATURES:,} ({DIMENSION:,} features)"
    return [
        Measurement(what=f"{what}, {kind}", value=value, unit="MB", limit=FEATURES_LIMIT_MB)
        for kind, value in moved.items()
    ]


# --- in child processes --------------------------------------------------------------------


def _make(root: str, count: int) -> None:
    """Make the store, with the data set from before the new labels."""
    make_store(root, count)
    result = _run_dataset(root, _instance(root))
    Path(root, "before.json").write_text(json.dumps(result["version"]))
    say_new_labels(root, count)


def _dataset(root: str) -> _Run:
    """Measure the asset ``dataset``."""
    import dagster as dg

    instance = _instance(root)
    before = json.loads(Path(root, "before.json").read_text())
    named = {"dataset_version": before, "model_version": "train-0", "digest": "0" * 64}
    trained = dg.AssetMaterialization("trained_model", metadata=named)
    instance.report_runless_asset_event(trained)
    result = _run_dataset(root, instance)
    if result["version"] == before:
        raise RuntimeError("the new labels made no new data set")
    return result


def _instance(root: str) -> "dg.DagsterInstance":
    import dagster as dg

    home = Path(root, "dagster")
    home.mkdir(exist_ok=True)
    return dg.DagsterInstance.local_temp(str(home))


def _run_dataset(root: str, instance: "dg.DagsterInstance") -> _Run:
    """Call ``dataset``, and measure what it has spent when its tables are joined."""
    from unittest.mock import patch

    import dagster as dg
    import pyarrow as pa

    from assets.dataset import dataset as module
    from imgclf_dagster.profiles.chosen import build_line
    from imgclf_dagster.settings.root import load_settings

    pa.array([""])  # loads pandas, as Arrow does once per process
    line, store = build_line(load_settings()), opened(root)
    spent: list[Spent] = []
    began = 0.0

    def note() -> None:
        spent.append(
            {"cpu_s": cpu_seconds() - began, "peak_mb": peak_mb(), "before_mb": resident_mb()}
        )

    def watched(*given: object) -> module.Gathered:
        found: module.Gathered = gather(*given)  # type: ignore[arg-type] # handed on
        note()
        reset_peak()
        return found

    gather = module.gather

    def timed(*given: Any, **named: Any) -> None:
        start = cpu_seconds()
        write(*given, **named)
        written.append(cpu_seconds() - start)

    write: Any = getattr(module, "write_dataset")  # noqa: B009 - the name in the asset's module
    written = list[float]()
    patches: dict[str, Any] = {
        "write_contact_sheets": lambda *_, **__: {},
        "gather": watched,
        "write_dataset": timed,
        "record_materialization": lambda *_: None,  # there is no run
    }
    with patch.multiple(module, **patches):
        context = dg.build_asset_context(instance=instance)
        reset_peak()
        began = cpu_seconds()
        result: Any = module.dataset(context, store, line)
        note()
    spent[1]["cpu_s"] -= spent[0]["cpu_s"]
    version = str(result.metadata["dataset_version"])
    return {
        "gather": spent[0],
        "rest": spent[1],
        "written_cpu_s": sum(written),
        "version": version,
    }


def _tick(count: int) -> dict[str, Spent]:
    """Measure one tick each, in a process that has ticked before."""
    import time

    import dagster as dg

    from assets.ingestion.sweep import Sweep
    from benchmarks.arrival import BUCKET, _arrivals, _tell_of_new
    from imgclf_dagster.profiles.chosen import build_line
    from imgclf_dagster.sensors.arrival import raw_images_arrival_sensor
    from imgclf_dagster.settings.root import load_settings
    from object_store.store import ObjectStore

    store = ObjectStore(url=f"s3://{BUCKET}")
    store.ensure()
    python_json(
        "benchmarks.scale", "table", str(count)
    )  # in another process, so that its memory is not counted
    settings = load_settings(ingestion={"reconcile_every_s": 1e9})
    resources = {
        "store": store,
        "line": build_line(settings),
        "arrivals": _arrivals("queue", settings),
    }
    instance = dg.DagsterInstance.ephemeral()

    def look(cursor: str | None) -> Spent:
        before = resident_mb()
        reset_peak()
        began = cpu_seconds()
        with dg.build_sensor_context(
            instance=instance, resources=resources, cursor=cursor
        ) as context:
            raw_images_arrival_sensor(context)
        return {"cpu_s": cpu_seconds() - began, "peak_mb": peak_mb(), "before_mb": before}

    resting = Sweep(began=time.time()).to_cursor()
    look(resting)  # imports, the first connection
    _tell_of_new()
    noticed = look(resting)
    return {NOTICED: noticed, "that also sweeps a window": look(None)}


def _table(count: int) -> None:
    """Make the image table of all objects of ``benchmarks.s3_server``, without listing them."""
    import hashlib

    import numpy as np
    import pyarrow as pa

    from assets.ingestion.image_index import IMAGES_SCHEMA, images_table
    from benchmarks.arrival import BUCKET
    from benchmarks.scale_store import START, filled, strings
    from object_store.store import ObjectStore

    keys = sorted(f"raw/class-{number % 10}/photo-{number:08d}.jpg" for number in range(count))
    columns = {
        "key": pa.array(keys),
        "etag": pa.array([f'"{hashlib.md5(key.encode()).hexdigest()}"' for key in keys]),
        "last_modified": START,
        "size": 1,
        "sha256": strings(np.random.default_rng(13).bytes(32 * count).hex().encode(), 64),
        "phash": np.random.default_rng(5).integers(0, 2**64, count, dtype=np.uint64),
        "status": "ok",
        "reason": "",
        "indexed_at": START,
        "refused": False,
    }
    rows = filled(IMAGES_SCHEMA, columns, count)
    table = images_table(ObjectStore(url=f"s3://{BUCKET}"))
    for start in range(0, count, 25_000):  # benchmarks.s3_server has no multipart upload
        table.append(rows.slice(start, 25_000))


def _features(root: str) -> None:
    """Make the features of many images, as the jobs store them."""
    import numpy as np

    from assets.model.feature_store import stored_features

    store = opened(root)
    store.ensure()
    rng = np.random.default_rng(2)
    for _ in range(0, FEATURES, 10_000):  # the output of a job
        stored_features(store, "bench").append(
            [rng.bytes(32).hex() for _ in range(10_000)],
            rng.random((10_000, DIMENSION), dtype=np.float32),
        )


def _embed(root: str) -> dict[str, float]:
    """Add a job's features of 100 images with the asset's own steps; return the MB moved."""
    from unittest.mock import patch

    import numpy as np

    from assets.model.feature_store import read_features, stored_features
    from object_store.contents.vectors import Vectors

    mapped = [0]

    def counted(method: Any) -> Any:
        def call(*given: Any) -> Any:
            found = method(*given)
            mapped[0] += memoryview(found).nbytes
            return found

        return call

    def moved() -> tuple[float, float]:
        read, written = _moved()
        return read + mapped[0] / 1e6, written

    patches = {name: counted(getattr(Vectors, name)) for name in ("_rows", "_bytes")}
    store, rng = opened(root), np.random.default_rng(99)
    images = [rng.bytes(32).hex() for _ in range(NEW)]
    features = rng.random((NEW, DIMENSION), dtype=np.float32)
    vectors = stored_features(store, "bench")
    vectors.version()  # imports
    with patch.multiple(Vectors, **patches):
        read, written = moved()
        vectors.mend(print)
        vectors.known(images)
        vectors.append(images, features)
        took, gave = moved()
        read_features(store, "bench", images)
        last, _ = moved()
    return {
        "read to append them": took - read,
        "written to append them": gave - written,
        "read to use them": last - took,
    }


def _moved() -> tuple[float, float]:
    """Bytes read and written by this process so far, in MB (``man 5 proc``, io)."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    counts = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return counts["rchar"] / 1e6, counts["wchar"] / 1e6


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    answer: object = None
    if kind == "make":
        _make(given[0], int(given[1]))
    elif kind == "dataset":
        answer = _dataset(given[0])
    elif kind == "tick":
        answer = _tick(int(given[0]))
    elif kind == "table":
        _table(int(given[0]))
    elif kind == "features":
        _features(given[0])
    elif kind == "embed":
        answer = _embed(given[0])
    print(json.dumps(answer))
