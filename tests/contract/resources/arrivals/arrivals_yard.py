"""A bucket, its queue, and the sensor and asset that watch it, for tests of arrivals."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from PIL import Image

from assets.ingestion.image_index import images_table, newest_rows
from assets.ingestion.raw_images import raw_images
from imgclf_dagster.profiles.chosen import build_line
from imgclf_dagster.sensors import arrival as sensors
from imgclf_dagster.settings.root import Settings
from object_store.store import ObjectStore
from resources.arrivals.arrivals import Arrivals
from tests.testbed.bed import TestBed

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def png(number: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (number * 37 % 256, number * 91 % 256, number % 256)).save(sink, "PNG")
    return sink.getvalue()


@dataclass
class Yard:
    """A store in a bucket, its queue, and the sensor and asset that watch it."""

    bed: TestBed
    home: Path
    store: ObjectStore
    arrivals: Arrivals
    queue_url: str
    cursor: str | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    warnings: list[str] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str]:
        bucket, _, prefix = self.store.url.removeprefix("s3://").partition("/")
        return bucket, prefix

    def upload(self, key: str, data: bytes) -> None:
        """As somebody else would: over what is there."""
        bucket, prefix = self.place
        self.bed.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/raw/{key}", Body=data)

    def remove(self, key: str) -> None:
        bucket, prefix = self.place
        self.bed.client("s3").delete_object(Bucket=bucket, Key=f"{prefix}/raw/{key}")

    def send(self, body: str) -> None:
        self.bed.client("sqs").send_message(QueueUrl=self.queue_url, MessageBody=body)

    def waiting(self) -> int:
        """Messages in the queue, being looked at or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        asked = {"QueueUrl": self.queue_url, "AttributeNames": names}
        got = self.bed.client("sqs").get_queue_attributes(**asked)["Attributes"]
        return sum(int(got[name]) for name in names)

    @property
    def line(self) -> Any:
        line = build_line(Settings(home=self.home))
        return replace(line, ingestion=line.ingestion.model_copy(update=self.policy))

    def tick(self) -> list[dg.RunRequest]:
        resources = {"store": self.store, "line": self.line, "arrivals": self.arrivals}
        with dg.build_sensor_context(
            instance=self.instance, resources=resources, cursor=self.cursor
        ) as context:
            handler = partial(self._keep, context)
            context.log.warning, context.log.error = handler, handler
            found = sensors.raw_images_arrival_sensor(context)
            self.cursor = context.cursor
        self.skipped_because = getattr(found, "skip_message", "")
        return list(found.run_requests or []) if isinstance(found, dg.SensorResult) else []

    def _keep(self, _context: Any, text: str) -> None:
        self.warnings.append(text)

    def run(self, request: dg.RunRequest | None = None) -> Any:
        config = {**(request.run_config if request else {}), **QUIET}
        return dg.materialize(
            [raw_images],
            instance=self.instance,
            resources={"store": self.store, "line": self.line},
            run_config=config,
            tags=request.tags if request else {},
            raise_on_error=False,
        )

    def settle(self) -> int:
        """Tick and run until there is nothing to do; how many runs it took."""
        for runs in range(20):
            requests = self.tick()
            if not requests:
                return runs
            assert self.run(requests[0]).success
        raise AssertionError("it never ends")

    def known(self) -> dict[str, str]:
        """Key (below raw/) to status, of the image table."""
        rows = newest_rows(images_table(self.store).read()).to_pylist()
        return {row["key"].removeprefix("raw/"): row["status"] for row in rows}

    def calls(self, operation: str, work: Callable[[], Any]) -> int:
        before = len(self.bed.calls(operation))
        work()
        return len(self.bed.calls(operation)) - before
