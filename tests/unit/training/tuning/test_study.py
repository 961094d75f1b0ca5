"""The search: it finds the best, prunes, survives a kill, and ends at its limits."""

import json
from collections.abc import Mapping
from math import log10
from pathlib import Path
from typing import Any

import pytest

from training.errors import PermanentFailure
from training.tuning.pictures import COORDINATES, HISTORY, IMPORTANCES, draw_search
from training.tuning.space import SearchSpace
from training.tuning.study import Limits, Report, Search

pytestmark = pytest.mark.unit

SPACE = SearchSpace(augmentations=("photo",), weight_decay=(0.01, 0.01))
EPOCHS = 4


def loss_of(values: Mapping[str, Any]) -> float:
    """The best is AdamW at 1e-3."""
    return abs(log10(values["learning_rate"]) + 3) + (values["optimizer"] != "adamw")


class Trainings:
    """Trials that end at once; ``killed_in`` is the number of the one in which the job is killed."""

    def __init__(self, killed_in: int | None = None) -> None:
        self.killed_in = killed_in
        self.tried: list[Mapping[str, Any]] = []
        self.epochs: list[int] = []
        self.places: list[Path] = []

    def __call__(self, values: Mapping[str, Any], folder: Path, report: Report) -> float:
        self.tried.append(values)
        self.places.append(folder)
        self.epochs.append(0)
        for epoch in range(1, EPOCHS + 1):
            self.epochs[-1] = epoch
            report(epoch, loss_of(values) + EPOCHS - epoch)
            if len(self.tried) == self.killed_in and epoch == 1:
                raise KeyboardInterrupt
        return loss_of(values)


def search(folder: Path, said: list[str] | None = None) -> Search:
    heard = said if said is not None else []
    return Search(folder, SPACE, 7, heard.append)


def _loss(trial: Mapping[str, Any]) -> float:
    return float(trial["val_loss"])


def test_the_best_is_found_and_the_worse_are_pruned(tmp_path: Path) -> None:
    said: list[str] = []
    found, trainings = search(tmp_path, said), Trainings()
    found.run(Limits(trials=16, seconds=1e6), trainings)
    assert found.values(found.best)["optimizer"] == "adamw"
    assert float(found.best.value or 9) == min(map(loss_of, trainings.tried))
    assert min(trainings.epochs) < EPOCHS, "none was pruned"
    assert sum("pruned after epoch" in text for text in said) == trainings.epochs.count(1)
    assert len(said) == 16
    table = json.loads(json.dumps(found.table()))
    assert [trial["number"] for trial in table] == list(range(1, 17))
    assert sum(trial["state"] == "pruned" for trial in table) == trainings.epochs.count(1)
    best = min((trial for trial in table if trial["val_loss"] is not None), key=_loss)
    assert best["values"] == found.values(found.best)
    assert list(best["epochs"]) == ["1", "2", "3", "4"]
    assert best["started_at"] <= best["ended_at"]
    draw_search(tmp_path, found.study)
    for name in (HISTORY, IMPORTANCES, COORDINATES):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, straight = search(tmp_path / "a"), Trainings()
    whole.run(Limits(trials=7, seconds=1e6), straight)
    killed = Trainings(killed_in=4)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "b").run(Limits(trials=7, seconds=1e6), killed)
    resumed = Trainings()
    again = search(tmp_path / "b")
    again.run(Limits(trials=7, seconds=1e6), resumed)
    assert resumed.tried[0] == killed.tried[3]  # the one under way, in its own folder
    assert resumed.places[0] == killed.places[3]
    assert [*killed.tried[:3], *resumed.tried] == straight.tried
    assert len(again.ended()) == 7
    search(tmp_path / "b").run(Limits(trials=7, seconds=1e6), done := Trainings())
    assert done.tried == []


def test_it_ends_when_its_time_is_over(tmp_path: Path) -> None:
    found, trainings = search(tmp_path), Trainings()
    found.run(Limits(trials=50, seconds=1e-9), trainings)
    assert len(trainings.tried) == 1
    assert found.spent_s() > 0


def test_a_trial_that_diverges_is_no_candidate_and_all_of_them_are_an_error(tmp_path: Path) -> None:
    def only_small_rates(values: Mapping[str, Any], folder: Path, report: Report) -> float:
        if values["learning_rate"] > 1e-3:
            raise PermanentFailure("the training diverged")
        return loss_of(values)

    found = search(tmp_path / "some")
    found.run(Limits(trials=6, seconds=1e6), only_small_rates)
    assert found.values(found.best)["learning_rate"] <= 1e-3

    def never(*_: Any) -> float:
        raise PermanentFailure("the training diverged")

    with pytest.raises(PermanentFailure, match="no trial came to an end: the training diverged"):
        search(tmp_path / "none").run(Limits(trials=2, seconds=1e6), never)
