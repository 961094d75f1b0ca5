"""A save in Label Studio → the new model on staging: 100 new labels, recipe probe, ``imgclf up``."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks import photos, scenes
from benchmarks.processes import BenchmarkFailed
from benchmarks.result import Measurement, Result

LIMIT_S = 90.0
WORKING_SHARE = 0.6
LABELLED, UNLABELLED, SAVED = 900, 300, 100
PATIENCE_S = 420.0
"""Limit of each step before timing starts; with the benchmark itself below its 600 s."""

PORTS = ("dagster", "endpoint", "predictor", "mlflow", "label_studio", "labelling")


@dataclass(frozen=True)
class Run:
    """A Dagster run in seconds since the epoch, from the start of its process to its end."""

    what: str
    began: float
    ended: float


def measure(scratch: Path) -> Result:
    """Start the line, label a batch, and wait for the resulting model."""
    weights = scenes.weights_dir()
    if weights is None:
        return Result(skipped=scenes.NO_WEIGHTS)
    if not photos.copy_photos(scratch / "photos"):
        return Result(skipped=photos.MISSING)
    truth = _divided(scratch)
    home = Path(os.environ["IMGCLF_HOME"])
    with _up(home, weights, scratch) as studio:
        first = _staged_after(home, "")
        shutil.copytree(scratch / "new", home / "store" / "raw" / "new")
        tasks = _wait(lambda: studio.open_tasks(SAVED), "tasks with pre-labels")
        saved = studio.label({task: truth[sha] for sha, task in tasks.items()})
        staged = _staged_after(home, first)
        done = time.time()
        runs = list(_runs(home, saved, done))
    wall = done - saved
    working = _covered(runs, saved, done)
    return Result(
        measurements=[
            Measurement(
                what=f"the last of {SAVED} saves → the new model answers on staging",
                value=wall,
                unit="s",
                limit=LIMIT_S,
            ),
            Measurement(
                what="of which a run of the line is at work",
                value=working / wall,
                unit="of it",
                bound="at least",
                limit=WORKING_SHARE,
            ),
            *(Measurement(what=f"run: {r.what}", value=r.ended - r.began, unit="s") for r in runs),
        ],
        notes=[
            f"{LABELLED} labelled photos before, frozen MobileNetV2 and logistic regression; the "
            f"{SAVED} images were chosen by the line from {UNLABELLED}, and are labelled truly.",
            f"The policy is set to train after {SAVED} new labels. {first} was on staging before, "
            f"{staged} afterwards. Everything that `imgclf up --label-studio` runs was running.",
            "A run is at work from the start of its process to its end; the rest is waiting for the "
            "next look of a sensor.",
        ],
    )


def _divided(scratch: Path) -> dict[str, str]:
    """Copy photos to ``labelled/<class>/`` and ``new/``; return the labels of the latter, by
    sha256."""
    paths = sorted((scratch / "photos").rglob("*.jpg"))
    random.Random(0).shuffle(paths)
    for path in paths[:LABELLED]:
        target = scratch / "labelled" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    truth: dict[str, str] = {}
    (scratch / "new").mkdir()
    for path in paths[LABELLED : LABELLED + UNLABELLED]:
        shutil.copyfile(path, scratch / "new" / f"{len(truth):04d}.jpg")
        truth[hashlib.sha256(path.read_bytes()).hexdigest()] = path.parent.name
    return truth


# --- the line ------------------------------------------------------------------------------


@contextmanager
def _up(home: Path, weights: Path, scratch: Path) -> Iterator["Studio"]:
    """Run ``imgclf up --label-studio`` with the labelled photos ingested."""
    ports = {name: _free_port() for name in PORTS}
    variables = {
        "IMGCLF_WEIGHTS_DIR": str(weights),
        "IMGCLF_RETRAINING__NEW_LABELS": str(SAVED),
        "IMGCLF_RETRAINING__SHARE_OF_CLASS": "1",
        "IMGCLF_LABELLING__BATCH_MIN": str(SAVED + 20),
        "IMGCLF_LABELLING__BATCH_MAX": str(SAVED + 20),
        **{f"IMGCLF_PORTS__{name.upper()}": str(port) for name, port in ports.items()},
    }
    environment = {**os.environ, **variables}
    program = str(Path(sys.executable).with_name("imgclf"))
    ingest = [program, "ingest", str(scratch / "labelled")]
    subprocess.run(ingest, env=environment, check=True, stdout=subprocess.DEVNULL)
    with (scratch / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [program, "up", "--label-studio"], env=environment, stdout=log, stderr=log
        )
    try:
        yield Studio(f"http://127.0.0.1:{ports['label_studio']}", home)
    finally:
        up.terminate()
        up.wait(30)


def _staged_after(home: Path, version: str) -> str:
    """Wait for a staging model other than ``version``; return its version."""
    from imgclf_dagster.profiles.chosen import build_endpoints
    from imgclf_dagster.settings.root import Settings
    from resources.endpoints.endpoint_host import HostUnavailable

    endpoints = build_endpoints(Settings(home=home))

    def another() -> str:
        try:
            found = endpoints.describe("staging").model_version or ""
        except HostUnavailable:  # it starts
            return ""
        return found if found != version else ""

    return _wait(another, f"a model on staging after {version or 'none'}")


def _runs(home: Path, since: float, until: float) -> Iterator[Run]:
    """The line's runs in that time, in order of their start, without those of the labelling
    queue."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        found = []
        for record in instance.get_run_records():
            stats = instance.get_run_stats(record.dagster_run.run_id)
            began = stats.launch_time or stats.start_time
            keys = record.dagster_run.asset_selection or ()
            names = sorted(key.to_user_string() for key in keys)
            if began is None or set(names) & {"embeddings", "labelling_queue", "labelling_report"}:
                continue
            ended = min(stats.end_time or until, until)
            if ended > since and began < until:
                found.append(Run(", ".join(names), max(began, since), ended))
    yield from sorted(found, key=lambda run: run.began)


def _covered(runs: list[Run], since: float, until: float) -> float:
    """Seconds during which at least one run was active."""
    total, reached = 0.0, since
    for run in runs:
        total += max(0.0, min(run.ended, until) - max(run.began, reached))
        reached = max(reached, run.ended)
    return total


# --- the annotator -------------------------------------------------------------------------


class Studio:
    """The line's Label Studio, and an annotator who uses it."""

    def __init__(self, url: str, home: Path) -> None:
        self._url, self._token_file = url, home / "label-studio" / "server-token"
        self._client: httpx.Client | None = None

    def open_tasks(self, count: int) -> dict[str, int]:
        """``count`` tasks with a pre-label, by image; empty as long as there are fewer."""
        project = self._project()
        if project is None:
            return {}
        query = {"project": project["id"], "fields": "all", "page_size": 1000}
        answer = self._http.get("/api/tasks/", params=query)
        tasks = answer.json()["tasks"] if answer.is_success else []
        ready = [task for task in tasks if task["predictions"] and not task["is_labeled"]]
        found = {task["data"]["sample_id"]: int(task["id"]) for task in ready[:count]}
        return found if len(found) == count else {}

    def label(self, answers: dict[int, str]) -> float:
        """Save a label for each task; return the time of the last response, in s since the
        epoch."""
        project = self._project()
        if project is None:
            raise BenchmarkFailed("the project in Label Studio is gone")
        for task, label in answers.items():
            choice = {"choices": [label]}
            region = {
                "from_name": "label",
                "to_name": "image",
                "type": "choices",
                "value": choice,
            }
            body = {"result": [region], "lead_time": 2.0, "project": project["id"]}
            self._http.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status()
        return time.time()

    def _project(self) -> dict[str, Any] | None:
        try:
            answer = self._http.get("/api/projects/")
        except (httpx.HTTPError, FileNotFoundError):  # it starts
            return None
        found = answer.json()["results"] if answer.is_success else []
        return found[0] if found else None

    @property
    def _http(self) -> httpx.Client:
        if self._client is None:
            headers = {"Authorization": f"Token {self._token_file.read_text().strip()}"}
            self._client = httpx.Client(base_url=self._url, headers=headers, timeout=60)
        return self._client


def _wait(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"no {what} within {PATIENCE_S:g} s")
        time.sleep(0.2)
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
