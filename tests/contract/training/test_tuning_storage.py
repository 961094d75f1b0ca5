"""Searches in a real Postgres: two jobs in one database, one of them killed, the server restarted."""

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.testbed.postgres import PASSWORD, USER, running_postgres
from training.tuning.space import SearchSpace
from training.tuning.storage import STORAGE
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


def test_a_killed_search_goes_on_beside_another_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(project: str, name: str) -> Search:
        return Search(tmp_path / project / name, SPACE, 7, lambda text: None, name)

    limits = Limits(trials=5, seconds=1e6)
    straight, resumed = Trainings(tmp_path / "straight"), Trainings(tmp_path / "resumed")
    killed = Trainings(tmp_path / "killed", killed_in=3)
    with running_postgres() as server:
        name = server.database()["DAGSTER_POSTGRES_DB"]
        url = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"
        monkeypatch.setenv(STORAGE, url)
        search("ours", "train-a").run(limits, straight)
        # Forked, it needs no imports.
        job = multiprocessing.get_context("fork").Process(
            target=lambda: search("ours", "train-b").run(limits, killed)
        )
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
