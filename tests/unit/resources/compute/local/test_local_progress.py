"""What the jobs of this machine do now: a killed job does not look alive, a damaged file is said."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgclf_dagster.settings.root import Settings
from imgclf_dagster.status.jobs import jobs_under_way
from resources.compute.local.progress import JobProgress, jobs_progress
from training.container.container import ROOT_VARIABLE
from training.container.progress_file import PROGRESS

pytestmark = pytest.mark.unit


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "jobs" / "train-1" / "ml" / "output").mkdir(parents=True)
    (tmp_path / "jobs" / "train-1" / "launch.json").write_text("{}")
    return tmp_path


@pytest.fixture
def process(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the job, which does nothing."""
    root = home / "jobs" / "train-1" / "ml"
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"],
        env={**os.environ, ROOT_VARIABLE: str(root)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    process.stdout.read(1)  # its environment is in place
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def tell(home: Path, **values: Any) -> Path:
    path = home / "jobs" / "train-1" / "ml" / PROGRESS
    path.write_text(json.dumps({"phase": "fit", "text": "finetune: resnet18", **values}))
    return path


def progress(home: Path) -> JobProgress:
    (found,) = jobs_progress(home / "jobs")
    return found


def said(home: Path, *runs: dict[str, Any]) -> str:
    (facts,) = jobs_under_way(Settings(home=home), runs)
    return str(facts["said"])


def test_a_running_job_shows_its_epoch_and_a_killed_one_does_not_look_alive(
    home: Path, process: subprocess.Popen[bytes]
) -> None:
    numbers = {"epoch": 3.0, "train_loss": 0.51234, "val_accuracy": 0.875}
    steps = {"what": "steps", "done": 90, "total": 360, "left_s": 130.0, "at": time.time()}
    tell(home, pid=process.pid, numbers=numbers, **steps)
    numbers_said = "epoch 3 done, train_loss 0.5123, val_accuracy 0.875 (finetune: resnet18)"
    assert progress(home).is_alive
    assert said(home) == f"steps: 90 of 360, about 2 min left, {numbers_said}"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie until it is reaped
    assert not progress(home).is_alive
    process.wait()
    assert not progress(home).is_alive
    assert said(home) == (
        f"its process has ended (steps: 90 of 360, {numbers_said}); imgclf run takes what it left, or goes on from its "
        "last checkpoint"
    )
    assert said(home, {"run_id": "r"}).endswith("(finetune: resnet18))"), "a run takes care of it"


def test_after_the_fit_the_phase_is_shown_and_not_its_last_epoch(home: Path) -> None:
    numbers = {"epoch": 3.0, "val_loss": 0.5}
    tell(home, pid=1, phase="export", text="exporting to ONNX", numbers=numbers)
    assert said(home, {}) == "its process has ended (exporting to ONNX)"
    counted = {"what": "images through the backbone", "done": 90, "total": 90, "left_s": 0.0}
    tell(home, pid=1, text="probe: resnet18", numbers={"c": 0.1, "val_loss": 0.5}, **counted)
    assert said(home, {}) == "its process has ended (val_loss 0.5 (probe: resnet18))"


def test_another_process_with_its_number_is_not_the_job(home: Path) -> None:
    tell(home, pid=os.getpid())
    assert not progress(home).is_alive


@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b"\x00" * 90, b'{"pid": "x"}', b"[1]"])
def test_a_damaged_file_is_said_and_is_no_error(
    home: Path, process: subprocess.Popen[bytes], content: bytes
) -> None:
    path = tell(home)
    path.write_bytes(content)
    assert progress(home).is_alive
    assert said(home) == f"its progress is unknown: {path} is damaged, which does not harm the job"


def test_a_job_that_has_told_nothing_and_one_that_was_not_started(home: Path) -> None:
    assert said(home, {}) == "its process has ended (it ended before it told anything)"
    (home / "jobs" / "train-1" / "launch.json").unlink()  # failed, and reported
    assert jobs_progress(home / "jobs") == []
    assert jobs_progress(home / "none") == []
    assert jobs_under_way(Settings(home=home, profile="aws"), ()) == []


def test_what_a_newer_or_older_job_wrote_is_read_as_far_as_it_is_known(home: Path) -> None:
    tell(home, pid=os.getpid(), numbers={"epoch": 2.0, "val_loss": float("nan")}, colour="red")
    assert "epoch 2 done, val_loss nan" in said(home)
