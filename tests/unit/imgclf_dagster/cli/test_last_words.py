"""What a command says at its beginning or end: a command to type, a remedy, a sum that adds up."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from imgclf_dagster.cli import demo, predict
from imgclf_dagster.cli.up.up import up_command
from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.processes.supervisor import single_instance
from imgclf_dagster.settings.root import Settings

pytestmark = pytest.mark.unit


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program of a virtual environment in the current folder, as it was called."""
    path = tmp_path / ".venv" / "bin" / "imgclf"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(path), "demo"])
    return path


def test_the_demo_prints_the_command_as_it_was_called(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert demo.called_as() == ".venv/bin/imgclf"
    monkeypatch.setenv("PATH", str(program.parent))
    assert demo.called_as() == "imgclf"


def test_the_seconds_of_the_demo_add_up() -> None:
    seconds = {"raw_images": 2.0, "trained_model": 10.0}
    console = Console(width=100)
    with console.capture() as printed:
        console.print(demo._summary("train-1", 0.99, 360, seconds, 20.0))
    numbers = [
        float(line.split()[-3])
        for line in printed.get().splitlines()
        if line.rstrip(" │").endswith(" s")
    ]
    assert numbers[-1] == 20.0
    assert sum(numbers[:-1]) == pytest.approx(20.0)


def test_a_second_up_is_refused_before_anything_is_said_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("imgclf_dagster.cli.up.up.prepare_home", lambda _: None)
    (tmp_path / "home" / "run").mkdir(parents=True)
    app = typer.Typer()
    app.command()(up_command)
    with single_instance(Settings(home=tmp_path / "home").run_dir):
        refused = CliRunner().invoke(app, [])
    assert refused.exit_code == 1
    assert "logs are in" not in refused.output
    told = " ".join(refused.stderr.split())
    assert told.startswith("error: imgclf up is running already on")
    assert f"(process {os.getpid()}) → end it" in told


@pytest.mark.parametrize(
    ("stage", "staged", "way"),
    [
        ("prod", "train-1", "train-1 is on staging: put it into production (imgclf approve"),
        ("prod", None, "`imgclf run` stages a candidate, and `imgclf approve` puts it"),
        ("staging", None, "`imgclf run` stages a candidate"),
    ],
)
def test_where_nothing_serves_only_what_is_missing_is_named(
    stage: str, staged: str | None, way: str
) -> None:
    record = staged and SimpleNamespace(model_version=staged)
    endpoints: Any = SimpleNamespace(readable=lambda _: record)
    assert predict._way_to(endpoints, stage).startswith(way)


def test_a_new_home_is_announced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DAGSTER_HOME", "PATH", "IMGCLF_HOME", "IMGCLF_SETTINGS"):
        monkeypatch.setenv(name, os.environ.get(name, str(tmp_path / "mistyped" / "imgclf.toml")))
    monkeypatch.setattr("os.environ", dict(os.environ))
    settings = Settings(home=tmp_path / "mistyped")
    prepare_home(settings)
    assert capsys.readouterr().err == f"made a new home at {settings.home}\n"
    prepare_home(settings)
    assert capsys.readouterr().err == ""
