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

from tests.e2e.up_program import REPOSITORY, Up, wait_for

pytestmark = pytest.mark.e2e

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


@pytest.mark.timeout(360)
def test_everything_comes_up_works_and_goes(up: Up) -> None:
    up.wait_until_up()
    said = up.said
    assert "!" not in said, "something crashed on the way up"
    for name in up.ports:
        assert up.url(name) in said
        assert httpx.get(up.url(name) + ("/ping" if name == "endpoint" else "/")).status_code == 200

    (repository,) = up.ask(LOCATION_QUERY)["repositoriesOrError"]["nodes"]
    assert repository["location"]["name"] == "imgclf"
    assert {sensor["sensorState"]["status"] for sensor in repository["sensors"]} == {"RUNNING"}

    raw = up.home / "store" / "raw"
    raw.mkdir(exist_ok=True)
    Image.new("RGB", (40, 30), "red").save(raw / "arrived.png")
    wait_for(
        lambda: up.ask(RAW_IMAGES_QUERY)["assetOrError"].get("assetMaterializations"),
        120,
        lambda: "the new image was not noticed",
    )

    family = psutil.Process(up.process.pid).children(recursive=True)
    asked = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(15) == 0
    assert time.monotonic() - asked < 10
    assert [child for child in family if child.is_running() and child.status() != "zombie"] == []


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "imgclf_dagster.cli.main", "up"],
            cwd=REPOSITORY,
            env={**os.environ, "IMGCLF_HOME": str(tmp_path), "IMGCLF_PORTS__MLFLOW": str(port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}, wanted for MLflow, is taken by" in done.stdout
    assert "IMGCLF_PORTS__MLFLOW" in done.stdout
    assert not (tmp_path / "logs" / "mlflow.log").exists()
