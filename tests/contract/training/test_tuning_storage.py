"""Searches in a real Postgres: several jobs in one database, one of them killed, the server restarted."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.testbed.postgres import PASSWORD, USER, Postgres, running_postgres
from training.tuning.space import SearchSpace
from training.tuning.storage import STORAGE, open_storage
from training.tuning.study import Limits, Report, Search

pytestmark = pytest.mark.contract

SPACE = SearchSpace(augmentations=("photo",), weight_decay=(0.01, 0.01))


class Trainings:
    """Trials that end at once, noted in a file; SIGKILL ends the process in number ``killed_in``."""

    def __init__(self, notes: Path, killed_in: int | None = None) -> None:
        self.notes, self.killed_in = notes, killed_in

    def __call__(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        with self.notes.open("a") as notes:
            notes.write(json.dumps(values) + "\n")
        report(1, float(values["learning_rate"]))
        if len(self.tried()) == self.killed_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(values["learning_rate"])

    def tried(self) -> list[str]:
        return self.notes.read_text().splitlines()


FORKED = multiprocessing.get_context("fork")  # it needs no imports


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as started:
        yield started


@pytest.fixture
def url(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new database of the server, which the environment names."""
    name = server.database()["DAGSTER_POSTGRES_DB"]
    url = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"
    monkeypatch.setenv(STORAGE, url)
    return url


def test_jobs_that_begin_at_once_create_the_tables_once(url: str) -> None:
    together = FORKED.Barrier(3)

    def job() -> None:
        together.wait()
        open_storage(url)

    jobs = [FORKED.Process(target=job) for _ in range(3)]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    assert [one.exitcode for one in jobs] == [0, 0, 0]


@pytest.mark.usefixtures("url")
def test_a_killed_search_goes_on_beside_another_job(tmp_path: Path, server: Postgres) -> None:
    def search(project: str, name: str) -> Search:
        return Search(tmp_path / project / name, SPACE, 7, lambda text: None, name)

    limits = Limits(trials=5, seconds=1e6)
    straight, resumed = Trainings(tmp_path / "straight"), Trainings(tmp_path / "resumed")
    killed = Trainings(tmp_path / "killed", killed_in=3)
    search("ours", "train-a").run(limits, straight)
    job = FORKED.Process(target=lambda: search("ours", "train-b").run(limits, killed))
    job.start()
    job.join()
    assert job.exitcode == -signal.SIGKILL
    theirs = search("theirs", "train-b")  # of another project, begun meanwhile
    again = search("ours", "train-b")
    server.stop()
    server.start()  # the connections of the pool are gone
    again.run(limits, resumed)
    assert [*killed.tried()[:2], *resumed.tried()] == straight.tried()
    assert len(again.ended()) == len(search("ours", "train-a").ended()) == 5
    # The one that was killed is not under way for ever; it went on as another one.
    assert [trial.number for trial in again.study.trials if trial.state.is_finished()] == [
        *range(6)
    ]
    assert again.study.trials[3].user_attrs["goes_on"] == 2
    assert theirs.study.trials == []
    again.copy_to(tmp_path / "study.db")
    assert (tmp_path / "study.db").stat().st_size > 0
    assert PASSWORD not in repr(again.table())
