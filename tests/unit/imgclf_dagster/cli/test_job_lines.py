"""What ``imgclf up`` prints of the jobs that run."""

import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from imgclf_dagster.cli.up.job_lines import JobLines
from imgclf_dagster.cli.up.notice_printer import NoticePrinter
from imgclf_dagster.console import SafeConsole
from imgclf_dagster.processes.supervisor import ProcessSpec
from training.container.container import ROOT_VARIABLE
from training.container.progress_file import PROGRESS

pytestmark = pytest.mark.unit


def test_a_job_has_a_line_now_and_then_and_none_after_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "train-1" / "ml"
    (root / PROGRESS).parent.mkdir(parents=True)
    (tmp_path / "train-1" / "launch.json").write_text("{}")
    monkeypatch.setattr(psutil.Process, "environ", lambda _: {ROOT_VARIABLE: str(root)})

    def at(now: float, text: str) -> None:
        (root / PROGRESS).write_text(json.dumps({"pid": os.getpid(), "text": text}))
        lines.look(now)

    lines = JobLines(tmp_path, NoticePrinter(SafeConsole(file=sys.stdout), [_spec()]).tell)
    at(0, "epoch 1[/]")
    at(5, "epoch 2")  # soon after the line before
    at(10, "epoch 3")
    at(21, "epoch 3")  # nothing new
    at(1_000, "epoch 4")
    at(1_050, "epoch 5")  # of a long job, fewer
    at(1_120, "epoch 6")
    (tmp_path / "train-1" / "launch.json").unlink()
    at(2_000, "epoch 7")
    (tmp_path / "train-1" / "launch.json").touch()
    at(2_001, "epoch 1")  # started again
    assert [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()] == [
        *("epoch 1[/]", "epoch 3", "epoch 4", "epoch 6", "epoch 1")
    ]


def _spec() -> ProcessSpec:
    return ProcessSpec(name="Dagster", argv=(), log_file=Path("none"))
