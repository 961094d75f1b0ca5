"""Searches in a real Postgres: two jobs in one database, one of them killed, the server restarted."""

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
    """Trials that end at once; the job is killed in the one of number ``killed_in``."""

    def __init__(self, killed_in: int | None = None) -> None:
        self.killed_in = killed_in
        self.tried: list[Mapping[str, Any]] = []

    def __call__(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        self.tried.append(values)
        report(1, float(values["learning_rate"]))
        if len(self.tried) == self.killed_in:
            raise KeyboardInterrupt
        return float(values["learning_rate"])


def test_a_killed_search_goes_on_beside_another_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(name: str) -> Search:
        return Search(tmp_path / name, SPACE, 7, lambda text: None, name)

    limits = Limits(trials=5, seconds=1e6)
    with running_postgres() as server:
        name = server.database()["DAGSTER_POSTGRES_DB"]
        url = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{name}"
        monkeypatch.setenv(STORAGE, url)
        straight, killed, resumed = Trainings(), Trainings(killed_in=3), Trainings()
        search("train-a").run(limits, straight)
        with pytest.raises(KeyboardInterrupt):
            search("train-b").run(limits, killed)
        again = search("train-b")
        server.stop()
        server.start()  # the connections of the pool are gone
        again.run(limits, resumed)
        assert [*killed.tried[:2], *resumed.tried] == straight.tried
        assert len(again.ended()) == len(search("train-a").ended()) == 5
        again.copy_to(tmp_path / "study.db")
        assert (tmp_path / "study.db").stat().st_size > 0
        assert PASSWORD not in repr(again.table())
