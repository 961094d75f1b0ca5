"""The labelling backend as a process: what it refuses to start with, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from serving.deployments import DeploymentRecord, record_key
from serving.labelling.access import ensure_credentials, read_credentials
from tests.patience import SOON_S, WAIT_S, wait_for
from tests.stores import make_store

pytestmark = pytest.mark.contract


def command(folder: Path, port: int, **options: str) -> list[str]:
    """Its command line on a store in ``folder``."""
    given = {
        "store-url": (folder / "store").as_uri(),
        "project": "imgclf",
        "port": str(port),
        "credentials-file": str(folder / "backend.json"),
        **options,
    }
    parts = [part for name, value in given.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "serving.label_studio_backend", *parts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_store(tmp_path / "store")
    ensure_credentials(tmp_path / "backend.json")
    return tmp_path


def refusal(arguments: list[str]) -> str:
    ended = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_what_it_cannot_start_with_is_reported_with_a_remedy(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        output = refusal(command(folder, port))
    assert f"127.0.0.1:{port}" in output
    assert "labelling under [ports]" in output
    gone = (folder / "gone").as_uri()
    output = refusal(command(folder, 0, **{"store-url": gone}))
    assert f"the store {gone} cannot be read" in output
    (folder / "backend.json").chmod(0o644)
    assert f"chmod 600 {folder / 'backend.json'}" in refusal(command(folder, 0))


def test_it_ends_when_told_to_even_while_the_store_hangs(
    folder: Path, publish_model: Callable[..., tuple[str, str]]
) -> None:
    digest, key = publish_model(folder / "store", "train-1")
    record = DeploymentRecord.at(
        1, stage="prod", model_version="train-1", digest=digest, model_key=key,
        deployed_by="tests", reason="",
    )  # fmt: skip
    path = folder / "store" / record_key(record)
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json())
    (folder / "store/raw").mkdir()
    os.mkfifo(folder / "store/raw/hung.png")  # opening it waits for a writer that never comes
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    known = read_credentials(folder / "backend.json")
    auth = (known.user, known.password.get_secret_value())
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", auth=auth, trust_env=False, timeout=WAIT_S
    )
    known_as = {"allow-host": "backend.example.org"}
    with subprocess.Popen(
        command(folder, port, **known_as), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for_model(client)
        for path in ("/", "/webhook", "/corrections"):  # the first two ask for no password here
            for headers in ({"Host": "evil.example"}, {"Origin": "http://127.0.0.1:8080"}):
                for method in ("GET", "POST"):
                    answer = client.request(method, path, headers=headers)
                    assert answer.status_code in {403, 421}
        named = {"Host": "backend.example.org", "Origin": "https://backend.example.org"}
        assert client.get("/health", headers=named).status_code == 200
        assert client.post("/webhook", json={}).json() == {"ok": True}
        task = {"id": 1, "data": {"sample_id": "0" * 64, "uri": "raw/hung.png"}}
        assert client.post("/predict", json={"tasks": [task]}).json() == {"results": [[]]}
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _, reply = process.communicate(timeout=WAIT_S)
        assert time.monotonic() - started < SOON_S
    assert "labelling of imgclf at http://127.0.0.1" in reply
    assert "1 of 1 tasks get no pre-label within 2.5 s" in reply
    assert "Traceback" not in reply


def wait_for_model(client: httpx.Client) -> None:
    def has_a_model() -> bool:
        try:
            return bool(client.get("/versions").json()["versions"])
        except httpx.TransportError:
            return False

    wait_for(has_a_model)
