"""A look for new objects in a bucket: by notifications, by listing, and by dagster-aws's listing."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypedDict

from benchmarks.idle_tick import make_table
from benchmarks.processes import peak_mb, python_json
from benchmarks.result import Measurement, Result
from benchmarks.servers import aws_variables, fast_s3, moto

if TYPE_CHECKING:
    from imgclf_dagster.settings.root import Settings
    from resources.arrivals.arrivals import Arrivals

SIZES = tuple(
    int(size) for size in os.environ.get("IMGCLF_BENCH_ARRIVAL_OBJECTS", "1000,100000").split(",")
)
LATENCY_MS = 5.0
TICKS = 5
NEW = 100
BUCKET = "bench"
IDLE_LIMIT_S = 0.5


class Looks(TypedDict):
    """Seconds of each search (``new``: of one that finds something); the process's peak memory, in
    MB."""

    looks: list[float]
    new: float
    peak_mb: float


def measure(scratch: Path) -> Result:
    """For each size: make bucket and table, then search in fresh processes."""
    measurements: list[Measurement] = []
    with moto() as sqs:
        for size in SIZES:
            with fast_s3(made=size, latency_ms=LATENCY_MS) as s3, aws_variables(s3=s3, sqs=sqs):
                measurements += _of_size(size)
    return Result(
        measurements=measurements,
        peer="dagster_aws.s3.sensor.get_s3_keys(bucket, prefix, since_key), as its documentation "
        "shows it for a sensor. It compares with one key only: it sees neither what is deleted "
        "nor what is rewritten",
        notes=[
            "Everything is known already, but where it says otherwise. Ours is the sensor itself "
            "(raw_images_arrival_sensor), which compares with the image table; without a queue a "
            "tick lists 20 pages at most, and a sweep is as many ticks as it takes.",
            f"S3 is benchmarks/s3_server.py, which answers after {LATENCY_MS:g} ms, SQS is moto. A "
            "real bucket takes some 100 ms for a page: 10 s more at 100,000 objects, for both "
            "listings, and nothing for the queue.",
            f"Medians of {TICKS} looks, each kind in a fresh process.",
        ],
    )


def _of_size(size: int) -> list[Measurement]:
    from object_store.store import ObjectStore

    store = ObjectStore(url=f"s3://{BUCKET}")
    store.ensure()
    make_table(store)
    looks = {kind: _looks(kind) for kind in ("listing", "peer", "queue")}
    noticed, swept, peer = looks["queue"], looks["listing"], looks["peer"]
    other = median(peer["looks"])
    return [
        Measurement(
            what=f"{size:,} objects: an idle tick with a queue",
            value=median(noticed["looks"]),
            unit="s",
            limit=IDLE_LIMIT_S,
            peer=other,
        ),
        Measurement(
            what=f"{size:,} objects: the tick that is notified of {NEW} new ones",
            value=noticed["new"],
            unit="s",
        ),
        Measurement(
            what=f"{size:,} objects: a whole sweep by listing",
            value=median(swept["looks"]),
            unit="s",
            peer=other,
        ),
        Measurement(
            what=f"{size:,} objects: memory of the process that sweeps (peak)",
            value=swept["peak_mb"],
            unit="MB",
            peer=peer["peak_mb"],
        ),
    ]


def _looks(kind: str) -> Looks:
    result: Looks = python_json("benchmarks.arrival", kind)
    return result


def _child(kind: str) -> Looks:
    look = _peer() if kind == "peer" else _sensor(kind)
    look()  # for imports and the first connection
    looks = [_seconds(look) for _ in range(TICKS)]
    peak = peak_mb()
    new = 0.0
    if kind == "queue":
        _tell_of_new()
        new = _seconds(look)
    return {"looks": looks, "new": new, "peak_mb": peak}


def _seconds(look: Callable[[], None]) -> float:
    began = time.perf_counter()
    look()
    return time.perf_counter() - began


def _peer() -> Callable[[], None]:
    import warnings

    from dagster_aws.s3.sensor import get_s3_keys

    warnings.simplefilter("ignore")
    cursor = get_s3_keys(BUCKET, prefix="raw/")[-1]

    def look() -> None:
        if get_s3_keys(BUCKET, prefix="raw/", since_key=cursor):
            raise RuntimeError("the peer found something new where nothing is")

    return look


def _sensor(kind: str) -> Callable[[], None]:
    """A function that runs the product's sensor: one tick with a queue, or the ticks of one sweep."""
    import dagster as dg

    from assets.ingestion.sweep import Sweep
    from imgclf_dagster.profiles.chosen import build_line
    from imgclf_dagster.sensors.arrival import raw_images_arrival_sensor
    from imgclf_dagster.settings.root import load_settings
    from object_store.store import ObjectStore
    from resources.arrivals.arrivals import pending_notices

    instance = dg.DagsterInstance.ephemeral()
    settings = load_settings(ingestion={"list_every_s": 0, "reconcile_every_s": 1e9})
    store = ObjectStore(url=f"s3://{BUCKET}")
    resources = {
        "store": store,
        "line": build_line(settings),
        "arrivals": _arrivals(kind, settings),
    }

    def look() -> None:
        cursor = Sweep(began=time.time()).to_cursor() if kind == "queue" else None
        done = False
        while not done:
            with dg.build_sensor_context(
                instance=instance, resources=resources, cursor=cursor
            ) as context:
                raw_images_arrival_sensor(context)
                cursor = context.cursor
            done = Sweep.from_cursor(cursor).done
        if kind == "listing" and pending_notices(store):
            raise RuntimeError("the sweep found something new where nothing is")

    return look


def _arrivals(kind: str, settings: "Settings") -> "Arrivals":
    from resources.arrivals.arrivals import NoArrivals
    from resources.arrivals.sqs import SqsArrivals
    from resources.aws.session import AwsSession

    if kind != "queue":
        return NoArrivals()
    url = _sqs().create_queue(QueueName="arrivals")["QueueUrl"]
    return SqsArrivals(session=AwsSession(), queue_url=url, bucket=BUCKET)


def _tell_of_new() -> None:
    queue = _sqs().get_queue_url(QueueName="arrivals")["QueueUrl"]
    for number in range(NEW):
        place = {"bucket": {"name": BUCKET}, "object": {"key": f"raw/new/{number}.jpg"}}
        body = json.dumps({"Records": [{"eventSource": "aws:s3", "s3": place}]})
        _sqs().send_message(QueueUrl=queue, MessageBody=body)


def _sqs() -> Any:
    import boto3

    return boto3.client("sqs")


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1])))
