"""Many small objects, up to a bucket and down again, as the product moves them: ``ingest`` and
``export`` write with ``at_once``, a data set is packed from what ``get_many`` reads."""

import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import BenchmarkFailed
from benchmarks.result import Measurement, Result
from benchmarks.servers import aws_variables, fast_s3

OBJECTS = int(os.environ.get("IMGCLF_BENCH_TRANSFER_OBJECTS", "4000"))
PEER_OBJECTS = min(OBJECTS, 4000)
"""Fewer for the loop: its rate does not depend on the number, and 100,000 would take 45 minutes."""

SIZE = 40_000
LATENCY_MS = 5.0
TIMES_BETTER = 5.0
BUCKET = "bench"


def measure(scratch: Path) -> Result:
    """Time boto3's loop and the product's functions in turn, on the same files and server."""
    source = scratch / "source"
    make_files(source)
    with fast_s3(latency_ms=LATENCY_MS) as url, aws_variables(s3=url):
        boto_up = PEER_OBJECTS / _seconds(lambda: _boto3_up(source))
        up = OBJECTS / _seconds(lambda: _up(source))
        boto_down = PEER_OBJECTS / _seconds(lambda: _boto3_down(scratch / "boto3"))
        down = OBJECTS / _seconds(lambda: _down(scratch / "ours"))
    for copy, files in (("boto3", PEER_OBJECTS), ("ours", OBJECTS)):
        if digest(scratch / copy, files) != digest(source, files):
            raise BenchmarkFailed(f"{copy}: what came down is not what went up")
    return Result(
        measurements=[
            _against("up", up, boto_up),
            _against("down", down, boto_down),
        ],
        peer="a loop of boto3's upload_file, then of download_file, with one client",
        notes=[
            f"{OBJECTS:,} files of {SIZE / 1000:g} KB ({OBJECTS * SIZE / 1e6:,.0f} MB); the loop "
            f"over the first {PEER_OBJECTS:,} of them. IMGCLF_BENCH_TRANSFER_OBJECTS=100000 makes "
            "it the issue's 4 GB.",
            f"Against benchmarks/s3_server.py, which answers after {LATENCY_MS:g} ms and shares "
            "these cores with the client; a real bucket answers a small PUT after some 20 to "
            "60 ms, so that a loop is slower there, and many at once gain more.",
            "What came down was compared with what went up, by SHA-256.",
        ],
    )


def make_files(folder: Path) -> None:
    """Write files of random bytes, in folders of 500."""
    source = random.Random(3)
    for number in range(OBJECTS):
        path = folder / f"part-{number // 500:03d}" / f"photo-{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(SIZE))


def digest(folder: Path, files: int) -> str:
    """Digest of the names and bytes of the first ``files`` files, by name."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.jpg"))[:files]:
        total.update(path.relative_to(folder).as_posix().encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _boto3_up(source: Path) -> None:
    import boto3

    client = boto3.client("s3")
    for path in sorted(source.rglob("*.jpg"))[:PEER_OBJECTS]:
        client.upload_file(str(path), BUCKET, f"boto3/{path.relative_to(source).as_posix()}")


def _boto3_down(target: Path) -> None:
    import boto3

    client = boto3.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="boto3/")
    for page in pages:
        for item in page["Contents"]:
            path = target / item["Key"].removeprefix("boto3/")
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(BUCKET, item["Key"], str(path))


def _up(source: Path) -> None:
    from object_store.store import ObjectStore
    from object_store.transfer import at_once, workers

    store = ObjectStore(url=f"s3://{BUCKET}/ours")
    store.ensure()

    def write(path: Path) -> bool:
        return store.create(f"raw/set/{path.relative_to(source).as_posix()}", path)

    files = sorted(source.rglob("*.jpg"))
    new = sum(at_once(write, files, threads=workers(store), weigh=lambda path: path.stat().st_size))
    if new != OBJECTS:
        raise BenchmarkFailed(f"{new} of {OBJECTS} went up")


def _down(target: Path) -> None:
    from object_store.store import ObjectStore
    from object_store.transfer import get_many

    store = ObjectStore(url=f"s3://{BUCKET}/ours")
    keys = [info.key for info in store.list("raw/set")]
    for key, data in get_many(store, keys):
        if data is None:
            raise BenchmarkFailed(f"{key} did not come down")
        path = target / key.removeprefix("raw/set/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _against(what: str, rate: float, peer: float) -> Measurement:
    return Measurement(
        what=what,
        value=rate,
        unit="objects/s",
        bound="at least",
        limit=TIMES_BETTER * peer,
        peer=peer,
    )


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
