"""kill -9 at every stage of the graph; each next run goes on where the killed one was.

One home lives through all of it. The kills hit named points (see ``sabotage``), chosen where the
most is at stake: something is written, and what says so is not yet.
"""

import hashlib
import io
import json
import signal
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assets.records.materialization_record import MATERIALIZATIONS as RECORDS
from tests.patience import slowness

pytestmark = pytest.mark.e2e

KILLED = -signal.SIGKILL
EPOCHS = 4
EPOCH = "dagster_pipes:PipesContext.report_custom_message"
"""Called by the training job after each epoch, before that epoch's checkpoint is written."""

UPLOAD_S = 2 * slowness()
"""Pipes messages are in the store after that long: they tell this test what was computed."""

SMALL_PARTS = {"target": "assets.ingestion.image_index:CHUNK", "do": [["set", 50]]}


def kill(target: str, *, victims: tuple[str, ...] = ("self",), **options: Any) -> dict[str, Any]:
    return {"target": target, "do": [["kill", victim] for victim in victims], **options}


def kill_in_training(*victims: str) -> dict[str, Any]:
    """In the second epoch of a launch: the checkpoint of the first is written."""
    action = kill(EPOCH, victims=victims, nth=2, when="before")
    action["do"].insert(0, ["sleep", UPLOAD_S])
    return action


@contextmanager
def watched(imgclf: Any) -> Iterator[None]:
    """List the store all the time: what is listed once must keep its size, for it is whole."""
    seen: dict[str, int] = {}
    changed: dict[str, tuple[int, int]] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            for key, size in imgclf.objects().items():
                if seen.setdefault(key, size) != size:
                    changed[key] = (seen[key], size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert seen
    assert not changed


def assert_whole(imgclf: Any) -> None:
    """Every listed object can be read to its end."""
    for key in imgclf.objects():
        data = (imgclf.home / "store" / key).read_bytes()
        name = Path(key)
        if key.startswith("datasets/shards/"):
            assert hashlib.sha256(data).hexdigest() == name.stem, key
        elif name.suffix == ".json":
            lines = data.splitlines() if "/messages/" in key else [data]
            assert lines, key
            assert all(json.loads(line) for line in lines), key
        elif name.suffix == ".parquet":
            pq.read_table(io.BytesIO(data))
        elif name.suffix == ".gz":
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                assert all(archive.extractfile(member).read() for member in archive), key
        else:
            with Image.open(io.BytesIO(data)) as image:
                image.load()


class Store:
    """What the store holds, for counting."""

    def __init__(self, imgclf: Any) -> None:
        self._root = imgclf.home / "store"
        self.keys = sorted(imgclf.objects())

    def under(self, *prefixes: str) -> list[str]:
        return [key for key in self.keys if key.startswith(prefixes)]

    def parts(self, table: str) -> int:
        return len(self.under(f"tables/{table}/"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        parts = [pq.read_table(self._root / key) for key in self.under(f"tables/{table}/")]
        return [row for part in parts for row in part.to_pylist()]

    def messages(self, kind: str) -> list[list[dict[str, Any]]]:
        """What the jobs of a kind (train, eval) said, launch by launch."""
        launches: dict[str, list[dict[str, Any]]] = {}
        for key in self.under(f"pipes/{kind}-"):
            if "/messages/" in key:
                launch = key.rpartition("/")[2].partition("-")[0]
                lines = (self._root / key).read_bytes().splitlines()
                launches.setdefault(launch, []).extend(json.loads(line) for line in lines)
        return list(launches.values())

    def epochs(self) -> list[list[int]]:
        """The epochs that each launch of the training completed."""
        return [
            [
                int(message["params"]["payload"]["epoch"])
                for message in launch
                if message["method"] == "report_custom_message"
                and "epoch" in (message["params"]["payload"] or {})
            ]
            for launch in self.messages("train")
        ]


def runs(imgclf: Any) -> tuple[Counter[str], list[str]]:
    """How many runs ended how, and why the failed ones failed."""
    with dg.DagsterInstance.from_config(str(imgclf.home / "dagster")) as instance:
        found = instance.get_runs()
        reasons = [
            record.event_log_entry.message
            for run in found
            if run.status is dg.DagsterRunStatus.FAILURE
            for record in instance.get_records_for_run(
                run.run_id, of_type=dg.DagsterEventType.PIPELINE_FAILURE
            ).records
        ]
        return Counter(run.status.value for run in found), reasons


def registered(imgclf: Any) -> tuple[int, int]:
    """Model versions in MLflow, and runs of trainings and evaluations."""
    from imgclf_dagster.settings.root import Settings
    from resources.registry.mlflow import MlflowRegistry

    settings = Settings(home=imgclf.home)
    registry = MlflowRegistry(tracking_uri=settings.mlflow_uri, project=settings.project)
    client = registry._client()
    experiment = client.get_experiment_by_name(settings.project)
    versions = client.search_model_versions(f"name = '{settings.project}'")
    return len(versions), len(client.search_runs([experiment.experiment_id]))


def test_killed_at_every_stage_the_line_completes_and_repeats_nothing(
    imgclf: Any, colours: Callable[..., Path], fast: dict[str, str], tmp_path: Path
) -> None:
    imgclf.settings = {**fast, "IMGCLF_TRAINING__EPOCHS": str(EPOCHS)}
    ingested = imgclf("ingest", colours(tmp_path / "colours", 40))
    assert ingested.code == 0, ingested.output
    with watched(imgclf):
        data_stages(imgclf)
        training_stages(imgclf, tmp_path / "attached")
        evaluation_and_release(imgclf)
        approval_and_production(imgclf)
    nothing_was_done_twice(imgclf)
    everything_is_settled(imgclf)


def killed_at(imgclf: Any, command: tuple[str, ...], *sabotage: dict[str, Any]) -> Any:
    answer = imgclf(*command, sabotage=[SMALL_PARTS, *sabotage])
    assert answer.code == KILLED, f"{sabotage} was not reached: {answer.output}"
    assert_whole(imgclf)
    return answer


def data_stages(imgclf: Any) -> None:
    run = ("run",)
    # annotations: the table's part is there, the materialization is not
    killed_at(imgclf, run, kill("object_store.contents.tables:Table.append", match="annotation_id"))
    assert Store(imgclf).parts("labels") == 1
    # raw_images: two of three parts are there
    killed_at(imgclf, run, kill("object_store.contents.tables:Table.append", match="phash", nth=2))
    assert (Store(imgclf).parts("images"), len(Store(imgclf).rows("images"))) == (2, 100)
    # dataset: everything but the card that says it is whole
    killed_at(
        imgclf,
        run,
        kill("object_store.store:ObjectStore.create", match="card.json", when="before"),
    )
    store = Store(imgclf)
    assert len(store.rows("images")) == 120
    assert store.under("datasets/")
    assert not [key for key in store.keys if key.endswith("card.json")]


def training_stages(imgclf: Any, attached: Path) -> None:
    run = ("run",)
    # imgclf and its job, in the second epoch: one checkpoint is there
    killed_at(imgclf, run, kill_in_training("parent", "self"))
    assert Store(imgclf).epochs() == [[1]]
    # the job alone (as the kernel does when memory runs out): the run fails and says so
    answer = imgclf("run", sabotage=[kill_in_training("self")])
    assert answer.code == 1, answer.output
    assert "killed by SIGKILL (out of memory?)" in answer.words
    assert Store(imgclf).epochs() == [[1], [2]]
    # imgclf alone; the job goes on and is attached to
    orphaned = kill_in_training("parent")
    orphaned["do"].append(["await", str(attached)])
    killed_at(imgclf, run, orphaned)
    jobs = [process for process in imgclf.processes() if "training.train" in process.cmdline()]
    assert len(jobs) == 1
    # the job's outputs are in the store, the record that says so is not
    answer = killed_at(
        imgclf,
        run,
        {
            "target": "resources.compute.local.attempt:Attempt.wait",
            "when": "before",
            "do": [["touch", str(attached)]],
        },
        kill("object_store.store:ObjectStore.create", match="job.json", when="before"),
    )
    assert "attached to job train-" in answer.out, answer.output
    assert not [key for key in Store(imgclf).keys if key.endswith("job.json")]


def evaluation_and_release(imgclf: Any) -> None:
    run = ("run",)
    # the evaluation is logged to MLflow, and not recorded as the model's
    answer = killed_at(imgclf, run, kill("resources.registry.mlflow:MlflowRegistry.log_evaluation"))
    assert "ended while it was not observed: collecting its outputs" in answer.out, answer.output
    assert not [key for key in Store(imgclf).keys if "/evaluations/" in key]
    # registered, and the asset not materialized
    answer = killed_at(imgclf, run, kill("resources.registry.mlflow:MlflowRegistry.register"))
    assert answer.out.count("is done already: reusing it") == 2, answer.output
    # staging has its record, and nobody saw it served
    killed_at(imgclf, run, kill("resources.endpoints.endpoint_host:Endpoints._write"))
    assert len(Store(imgclf).under("endpoints/staging/")) == 1
    answer = imgclf("run")
    assert answer.code == 0, answer.output
    assert "waits for approval" in answer.words


def approval_and_production(imgclf: Any) -> None:
    # an approval that was not written yet is none
    approve = ("approve", "--reason", "it knows its colours", "--by", "ann")
    killed_at(imgclf, approve, kill("resources.registry.mlflow_database:set_tags", when="before"))
    answer = imgclf("run")
    assert answer.code == 0, answer.output
    assert "waits for approval" in answer.words
    # approved, and not carried out: the next run does
    killed_at(imgclf, approve, kill("resources.registry.mlflow:MlflowRegistry.set_approval"))
    assert not Store(imgclf).under("endpoints/prod/")
    # production has its record, and nobody saw it served
    killed_at(imgclf, ("run",), kill("resources.endpoints.endpoint_host:Endpoints._write"))
    answer = imgclf("run")
    assert answer.code == 0, answer.output
    assert "is in production" in answer.words


def nothing_was_done_twice(imgclf: Any) -> None:
    store = Store(imgclf)
    assert Counter(row["key"] for row in store.rows("images")).most_common(1)[0][1] == 1
    assert (store.parts("images"), store.parts("labels")) == (3, 1)
    assert len(store.rows("labels")) == 120
    dealt = Counter((row["sha256"], bool(row["split"])) for row in store.rows("groups"))
    assert len(dealt) == 240  # an image is put into a group, and the group dealt to a split
    assert set(dealt.values()) == {1}
    assert len(store.under("datasets/shards/")) == 1
    assert store.epochs() == [[1], [2], [3, 4]]  # three launches, every epoch once
    assert len(store.messages("eval")) == 1
    assert len([key for key in store.keys if key.endswith("job.json")]) == 2
    assert len([key for key in store.keys if "/evaluations/" in key]) == 1
    assert registered(imgclf) == (1, 2)
    assert len(store.under("endpoints/staging/")) == 1
    assert len(store.under("endpoints/prod/")) == 1
    record = json.loads((imgclf.home / "store" / store.under("endpoints/prod/")[0]).read_bytes())
    assert (record["deployed_by"], record["reason"]) == ("ann", "it knows its colours")


def everything_is_settled(imgclf: Any) -> None:
    assert_whole(imgclf)
    assert not imgclf.processes()
    before = imgclf.objects(but=RECORDS)
    answer = imgclf("run")
    assert answer.code == 0, answer.output
    # A run with nothing to do writes nothing but the records of its materializations.
    assert imgclf.objects(but=RECORDS) == before
    counts, reasons = runs(imgclf)
    assert set(counts) == {"SUCCESS", "FAILURE"}  # none is left as started
    gone = [reason for reason in reasons if "is gone" in reason]
    assert len(gone) == 10, reasons  # all kills but that of `approve`, which had no run yet
    assert counts["FAILURE"] == 11, reasons  # the one more told of its killed job itself
