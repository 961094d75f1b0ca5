"""Tasks with pre-labels into a real Label Studio, and what it costs to ask whether any changed."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.label_studio_server import running_label_studio
from benchmarks.label_studio_tick import ANNOTATED, idle_ticks
from benchmarks.processes import BenchmarkFailed, peak_mb, reset_peak, resident_mb
from benchmarks.result import Measurement, Result

if TYPE_CHECKING:
    from resources.label_studio.client import LabelStudioClient
    from resources.label_studio.types import NewTask

TASKS = int(os.environ.get("IMGCLF_BENCH_LABEL_STUDIO_OBJECTS", "10000"))
LABELS = ("buildings", "forest", "glacier", "mountain", "sea", "street")
POLLS, RECONCILING = 20, 5
IMPORT_LIMIT_S = 120.0
POLL_LIMIT_S = 0.5
MEMORY_LIMIT_MB = 100.0
FIRST = 500
"""One chunk, imported first as a warm-up."""


def measure(scratch: Path) -> Result:
    """Import and poll with the product, and with the SDK's own calls."""
    from imgclf_dagster.label_studio.install import LabelStudioNotInstalled

    try:
        with running_label_studio(scratch / "server") as (url, token):
            return _of(url, token, scratch)
    except LabelStudioNotInstalled as error:
        return Result(skipped=f"{error}")


def _of(url: str, token: str, scratch: Path) -> Result:
    ours, peer = _project(url, token, "ours"), _project(url, token, "theirs")
    began = time.perf_counter()
    _import(ours, FIRST)
    resident = resident_mb()
    reset_peak()
    _import(ours, TASKS)
    imported = time.perf_counter() - began
    grown = peak_mb() - resident
    again = _seconds(lambda: _import(ours, TASKS))
    bare = _seconds(lambda: _import_bare(peer))
    with idle_ticks(ours, LABELS, scratch / "line") as tick:
        idle = median(_seconds(tick) for _ in range(POLLS))
        reconciling = median(_seconds(tick.reconciling) for _ in range(RECONCILING))
    return Result(
        measurements=[
            Measurement(
                what=f"{TASKS:,} tasks with pre-labels, imported, read back",
                value=imported,
                unit="s",
                limit=IMPORT_LIMIT_S,
                peer=bare,
            ),
            Measurement(
                what=f"memory that {TASKS:,} tasks take beyond that of {FIRST:,}",
                value=max(0.0, grown),
                unit="MB",
                limit=MEMORY_LIMIT_MB,
            ),
            Measurement(what="the same import once more (nothing is new)", value=again, unit="s"),
            Measurement(
                what=f"an idle poll of {TASKS:,} tasks: a tick of annotations_change_sensor",
                value=idle,
                unit="s",
                limit=POLL_LIMIT_S,
                peer=_seconds(lambda: _list_all(ours)),
            ),
            Measurement(
                what="a tick that looks for deleted tasks, too (every ten minutes)",
                value=reconciling,
                unit="s",
            ),
        ],
        peer="label-studio-sdk as its documentation uses it: projects.import_tasks in chunks of "
        f"{FIRST}, which checks nothing and doubles what is sent twice; tasks.list, whole, to see "
        "what changed",
        notes=[
            "A real Label Studio on SQLite, on this machine, started as imgclf up starts it; its "
            "work is in all numbers.",
            f"Ours asks before and after each {FIRST} tasks which of them are there, and validates "
            "each prediction. An import that is killed is completed by doing it again.",
            f"The tick is the sensor itself, of a line that has read everything, {ANNOTATED} labels "
            f"among it: the project, its changes, the store's snapshots. Medians of {POLLS} and of "
            f"{RECONCILING} ticks; each must say that nothing is new.",
        ],
    )


def _project(url: str, token: str, title: str) -> "LabelStudioClient":
    from labelling.labels.schema import LabelSchema
    from resources.label_studio.client import LabelStudioClient

    client = LabelStudioClient(url=url, token=token, project_title=title)
    client.project.ensure(LabelSchema(), LABELS)
    return client


def _tasks(count: int) -> "Iterator[NewTask]":
    from resources.label_studio.types import NewTask, Prelabel

    for number in range(count):
        label = LABELS[number % len(LABELS)]
        rest = 0.5 / (len(LABELS) - 1)
        probabilities = {name: 0.5 if name == label else rest for name in LABELS}
        yield NewTask(
            sample_id=hashlib.sha256(str(number).encode()).hexdigest(),
            image=f"/data/local-files/?d=raw/scenes/{number}.jpg",
            uri=f"raw/scenes/{number}.jpg",
            why=f"The model is unsure: {label} 0.50, and five others.",
            batch="batch-1",
            reasons={"uncertainty": 0.8, "diversity": 0.3},
            prediction=Prelabel("train-0123456789ab", (label,), probabilities, number / count),
        )


def _import(client: "LabelStudioClient", count: int) -> None:
    done = client.imports.import_missing(_tasks(count))
    there = client.project.read()
    if not done.new + done.known == there.tasks == there.predictions == count:
        raise BenchmarkFailed(
            f"{done} of {count} tasks; there are {there.tasks} and {there.predictions} pre-labels"
        )


def _sdk(client: "LabelStudioClient") -> Any:
    """Label Studio's client with its default connection."""
    from label_studio_sdk.client import LabelStudio as Sdk

    return Sdk(base_url=client.url, api_key=client.token)


def _import_bare(client: "LabelStudioClient") -> None:
    projects, project, tasks = _sdk(client).projects, client.project.id, _tasks(TASKS)
    while chunk := [_bare(task) for task in islice(tasks, FIRST)]:
        projects.import_tasks(project, request=chunk)


def _bare(task: "NewTask") -> dict[str, Any]:
    prelabel = task.prediction
    assert prelabel is not None
    region = {
        "from_name": "label",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": list(prelabel.labels)},
        "meta": {"probs": prelabel.probabilities},
    }
    prediction = {
        "model_version": prelabel.model_version,
        "score": prelabel.priority,
        "result": [region],
    }
    data = {"image": task.image, "sample_id": task.sample_id, "why": task.why}
    return {"data": data, "predictions": [prediction]}


def _list_all(client: "LabelStudioClient") -> None:
    count, page = 0, 0
    while count < TASKS:  # its pager requests one page too many, which is a 404
        page += 1
        rows = _sdk(client).tasks.list(
            project=client.project.id, fields="task_only", page=page, page_size=1000
        )
        count += len(rows.items)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
