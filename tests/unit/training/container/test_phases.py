"""A job tells what it does: in Dagster's log, in a file of its folder, to SageMaker's metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from resources.compute.sagemaker.requests import METRIC_DEFINITIONS
from training.container import phases as module
from training.container.container import JobContainer
from training.container.phases import Phases, duration
from training.container.progress_file import PROGRESS

pytestmark = pytest.mark.unit


class Messages:
    """What a job sends to Dagster."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.sent: list[Any] = []
        self.log = self
        self.info = self.warning = self.said.append
        self.report_custom_message = self.sent.append


class Clock:
    """A clock that is set by hand."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def container(root: Path) -> JobContainer:
    return JobContainer(root, "training", {})


def written(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / PROGRESS).read_text())
    return found


def test_the_remaining_time_is_that_of_the_speed_so_far(tmp_path: Path, clock: Clock) -> None:
    pipes = Messages()
    phases = Phases(pipes, container(tmp_path))
    phases.begin("fit", "finetune: resnet18")
    phases.count("steps", 100, 500)  # those before the restart say nothing about the speed
    clock.now += 60
    phases.count("steps", 200, 500)
    assert pipes.said == ["finetune: resnet18", "steps: 200 of 500 (about 3 min left)"]
    phases.epoch({"epoch": 2, "val_loss": 0.5})
    assert pipes.said[-1] == "epoch 2, val_loss 0.5 (about 3 min left)"
    assert written(tmp_path) == {
        **{
            "phase": "fit",
            "text": "finetune: resnet18",
            "what": "steps",
            "done": 200,
            "total": 500,
        },
        **{"left_s": 180.0, "numbers": {"epoch": 2, "val_loss": 0.5}},
        **{name: written(tmp_path)[name] for name in ("pid", "at")},
    }
    phases.begin("export", "exporting")
    assert (written(tmp_path)["text"], written(tmp_path)["left_s"]) == ("exporting", None)


def test_a_long_job_does_not_flood_dagsters_log(tmp_path: Path, clock: Clock) -> None:
    pipes = Messages()
    phases = Phases(pipes, container(tmp_path))
    phases.begin("fit", "")
    for epoch in range(1, 2_001):
        for step in range(10):
            clock.now += 6
            phases.count("steps", 10 * epoch + step, 20_000)
        phases.epoch({"epoch": epoch, "val_loss": 1 / epoch})
    epochs = [int(line.split()[1][:-1]) for line in pipes.said if line.startswith("epoch ")]
    assert epochs[:20] == list(range(1, 21))
    assert 100 < len(epochs) < 400
    assert 100 < len(pipes.said) - len(epochs) < 400
    assert len(pipes.sent) == 2_000  # the record of the job has all


def test_times_of_epochs_outlive_a_restart_and_a_damaged_file(tmp_path: Path, clock: Clock) -> None:
    phases = Phases(Messages(), container(tmp_path))
    for epoch in (1, 2, 3):
        clock.now = 1000.0 + epoch
        phases.epoch({"epoch": epoch})
    resumed = Phases(Messages(), container(tmp_path))  # from the checkpoint after epoch 2
    clock.now = 2000.0
    resumed.epoch({"epoch": 3})
    assert resumed.epoch_times(4) == [1001.0, 1002.0, 2000.0, None]
    path = tmp_path / "checkpoints" / "epoch_times.txt"
    path.write_bytes(b"1 1001.0\n2 10\xff\n\x00\x00")
    assert Phases(Messages(), container(tmp_path)).epoch_times(2) == [1001.0, None]


def test_a_file_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file where the folder should be")
    pipes = Messages()
    phases = Phases(pipes, container(tmp_path))
    for phase in ("data", "fit"):
        phases.begin(phase, "")
    assert len(pipes.said) == 1
    assert "cannot be written, and the job goes on" in pipes.said[0]


def test_sagemaker_finds_each_number_of_an_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"epoch": 3.0, "train_loss": 1.25, "val_loss": 3e-05, "val_accuracy": 0.5}
    Phases(Messages(), container(tmp_path)).epoch(numbers)
    Phases(Messages()).epoch({"val_loss": 9.0})  # of another process of the job
    printed = capsys.readouterr().out
    found = {
        item["Name"]: [float(value) for value in re.findall(item["Regex"], printed)]
        for item in METRIC_DEFINITIONS
    }
    assert {name: values for name, values in found.items() if values} == {
        name: [value] for name, value in numbers.items() if name != "epoch"
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5_300, "88 min"), (7_500, "2 h 5 min")],
)
def test_a_duration_is_rounded_to_what_one_needs(seconds: float, words: str) -> None:
    assert duration(seconds) == words
