"""A tick of the sensor that reads labels from Label Studio, when none were saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import BenchmarkFailed

if TYPE_CHECKING:
    from resources.label_studio.client import LabelStudioClient

ANNOTATED = 200
"""Tasks that are labelled already, so that the store and the label table are not empty."""

CATCHING_UP = 100
"""The most ticks until everything is read."""


class IdleTicks:
    """``annotations_change_sensor`` of a line that has read all labels: each call is one tick.

    Its resources and its cursor are those of a laptop's line.

    Args:
        client: the project in Label Studio.
        labels: its classes.
        folder: for the store and Dagster's files.

    Raises:
        BenchmarkFailed: the ticks go on finding labels, or one finds some where there are none.
    """

    def __init__(self, client: "LabelStudioClient", labels: tuple[str, ...], folder: Path) -> None:
        import dagster as dg

        from imgclf_dagster.profiles.chosen import build_line
        from imgclf_dagster.settings.root import load_settings
        from object_store.store import ObjectStore

        # Without an overlap, changes are not read again two minutes later: no need to wait for
        # that.
        settings = load_settings(labels={"names": labels}, labelling={"poll_overlap_s": 0})
        store = ObjectStore(url=(folder / "store").as_uri())
        store.ensure()
        (folder / "dagster").mkdir(parents=True)
        self._instance = dg.DagsterInstance.local_temp(str(folder / "dagster"))
        self._resources: dict[str, Any] = {
            "store": store,
            "line": build_line(settings),
            "label_studio": client,
        }
        self._cursor: str | None = None
        self._catch_up()

    def __call__(self) -> None:
        """Run a tick, which must find nothing."""
        from imgclf_dagster.sensors.labels import NO_LABELS

        answer = self._tick()
        if answer != NO_LABELS:  # problems with Label Studio are added to it
            raise BenchmarkFailed(f"the tick says: {answer}")

    def reconciling(self) -> None:
        """Run a tick that looks for deleted tasks, too; it must find nothing."""
        cursor = self._parsed()
        cursor.label_studio.reconciled_at, cursor.label_studio.reconciled_to = 0.0, 0
        self._cursor = cursor.model_dump_json()
        self()
        poll = self._parsed().label_studio
        if not (
            poll.reconciled_at or poll.reconciled_to
        ):  # with many tasks, a tick checks only some
            raise BenchmarkFailed("the tick did not look for deleted tasks")

    def close(self) -> None:
        """Close Dagster's databases."""
        self._instance.dispose()

    def _catch_up(self) -> None:
        """Tick, and materialize the label table when a run is requested, until nothing is left."""
        from imgclf_dagster.sensors.labels import NO_LABELS

        for _ in range(CATCHING_UP):
            if self._tick() != NO_LABELS:
                self._make_annotations()
                continue
            poll = self._parsed().label_studio
            if poll.read_to and poll.settled_to == poll.read_to and self._read() == ANNOTATED:
                return
        raise BenchmarkFailed(
            f"after {CATCHING_UP} ticks: {self._cursor}, {self._read()} labels read"
        )

    def _tick(self) -> str:
        """Run a tick; its skip message, empty if it requests a run."""
        import dagster as dg

        from imgclf_dagster.sensors.labels import annotations_change_sensor

        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources=self._resources
        ) as context:
            found = annotations_change_sensor(context)
            self._cursor = context.cursor
        return str(found.skip_message) if isinstance(found, dg.SkipReason) else ""

    def _parsed(self) -> Any:
        from imgclf_dagster.sensors.labels import LabelsCursor

        return LabelsCursor.parse(self._cursor)

    def _make_annotations(self) -> None:
        import dagster as dg

        from assets.annotations.annotations import annotations

        resources = {name: self._resources[name] for name in ("store", "line")}
        dg.materialize([annotations], instance=self._instance, resources=resources)

    def _read(self) -> int:
        """Number of rows in the label table."""
        from assets.annotations.label_index import labels_table

        return int(labels_table(self._resources["store"]).read().num_rows)


@contextmanager
def idle_ticks(
    client: "LabelStudioClient", labels: tuple[str, ...], folder: Path
) -> Iterator[IdleTicks]:
    """Label ``ANNOTATED`` tasks of the project, and yield the ticks of a line that has read them.

    Args:
        client: the project in Label Studio.
        labels: its classes.
        folder: for the store and Dagster's files.
    """
    import httpx

    for number, task in enumerate(client.tasks.list_refs(limit=ANNOTATED)):
        region = {
            "from_name": "label",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": [labels[number % len(labels)]]},
        }
        body = {"result": [region], "lead_time": 2.0}
        httpx.post(
            f"{client.url}/api/tasks/{task.id}/annotations/",
            headers={"Authorization": f"Token {client.token}"},
            json=body,
        ).raise_for_status()
    ticks = IdleTicks(client, labels, folder)
    try:
        yield ticks
    finally:
        ticks.close()
