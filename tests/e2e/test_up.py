"""``imgclf up`` as a user runs it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from tests.e2e.up_program import REPOSITORY, Up
from tests.patience import SOON_S, WAIT_S, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("cold_programs")]

LOCATION_QUERY = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    location { name } sensors { name sensorState { status } } } } } }
"""
RAW_IMAGES_QUERY = """
{ assetOrError(assetKey: {path: ["raw_images"]}) {
    ... on Asset { assetMaterializations(limit: 1) { runId } } } }
"""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    program = Up(tmp_path / "home")
    yield program
    program.end()


def test_everything_comes_up_works_and_goes(up: Up) -> None:
    up.wait_until_up()
    answer = up.output
    assert "!" not in answer, "something crashed on the way up"
    for name in up.ports:
        assert up.url(name) in answer
        answers = up.url(name) + ("/ping" if name == "endpoint" else "/")
        assert httpx.get(answers, timeout=WAIT_S).status_code == 200

        _is_guarded(up.url(name))

    (repository,) = up.ask(LOCATION_QUERY)["repositoriesOrError"]["nodes"]
    assert repository["location"]["name"] == "imgclf"
    assert {sensor["sensorState"]["status"] for sensor in repository["sensors"]} == {"RUNNING"}

    raw = up.home / "store" / "raw"
    raw.mkdir(exist_ok=True)
    Image.new("RGB", (40, 30), "red").save(raw / "arrived.png")
    wait_for(
        lambda: up.ask(RAW_IMAGES_QUERY)["assetOrError"].get("assetMaterializations"),
        lambda: "the new image was not noticed",
    )

    family = psutil.Process(up.process.pid).children(recursive=True)
    asked = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(WAIT_S) == 0
    assert time.monotonic() - asked < SOON_S
    assert [child for child in family if child.is_running() and child.status() != "zombie"] == []


def _is_guarded(url: str) -> None:
    """Neither a page of another origin nor one whose name was pointed here gets an answer."""
    for headers in (
        {"Host": "evil.example"},
        {"Host": "10.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ):
        for method in ("GET", "POST"):
            answer = httpx.request(method, url, headers=headers)
            assert answer.status_code in {403, 421}, (url, headers)
            assert answer.text.startswith("refused: ")


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "imgclf_dagster.cli.entry", "up"],
            cwd=REPOSITORY,
            env={**os.environ, "IMGCLF_HOME": str(tmp_path), "IMGCLF_PORTS__MLFLOW": str(port)},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}, wanted for MLflow, is taken by" in " ".join(done.stderr.split())
    assert "IMGCLF_PORTS__MLFLOW" in done.stderr
    assert not (tmp_path / "logs" / "mlflow.log").exists()
