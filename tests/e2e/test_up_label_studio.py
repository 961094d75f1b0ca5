"""``imgclf up --label-studio`` as a user runs it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from imgclf_dagster.label_studio.install import Installation
from tests.e2e.up_program import REPOSITORY, Up
from tests.label_studio.server import LabelStudioServer
from tests.patience import WAIT_S, wait_for

pytestmark = pytest.mark.e2e

Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path, label_studio_installation: Installation) -> Iterator[Start]:
    """Starts ``imgclf up`` in a home of its own; ends it whatever the test comes to."""
    started = []

    def starting(*options: str, **variables: str) -> Up:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("IMGCLF_")}
        kept["IMGCLF_LABEL_STUDIO_ENV"] = str(label_studio_installation.python.parents[1])
        more_ports = [
            name
            for name in ("label_studio", "labelling")
            if f"IMGCLF_PORTS__{name.upper()}" not in variables
        ]
        started.append(Up(tmp_path / "home", {**kept, **variables}, options, more_ports))
        return started[-1]

    yield starting
    for up in started:
        up.end()


def doctor(up: Up, **variables: str) -> dict[str, dict[str, str]]:
    """The doctor's findings, by what they are about."""
    ports = {f"IMGCLF_PORTS__{name.upper()}": str(port) for name, port in up.ports.items()}
    done = subprocess.run(
        [sys.executable, "-m", "imgclf_dagster.cli.entry", "doctor", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, **ports, **variables, "IMGCLF_HOME": str(up.home)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


def as_owner(up: Up) -> httpx.Client:
    token = (up.home / "label-studio" / "server-token").read_text().strip()
    headers = {"Authorization": f"Token {token}"}
    return httpx.Client(base_url=up.url("label_studio"), headers=headers, timeout=WAIT_S)


def test_it_comes_up_is_set_up_and_goes(start: Start) -> None:
    up = start("--label-studio", IMGCLF_LABELS__NAMES='["cat", "dog & co"]')
    up.wait_until_up()
    wait_for(lambda: "✓ Project" in up.output, lambda: up.output)
    assert "!" not in up.output, up.output
    assert up.url("label_studio") in up.output

    password = (up.home / "label-studio" / "password").read_text().strip()
    assert str(up.home / "label-studio" / "password") in up.output
    assert password not in up.output
    _logs_in("imgclf@localhost", password, up.url("label_studio"))
    _is_set_up(up)
    _shows_only_images_of_the_store(up)

    found = doctor(up, IMGCLF_LABELS__NAMES='["cat", "dog & co"]')
    about = {what: item for what, item in found.items() if "label" in what and "port" not in what}
    assert {item["health"] for item in about.values()} == {"ok"}, about
    assert "label studio to backend" in about

    _nothing_secret_in_logs(up)
    family = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(WAIT_S) == 0
    assert [child for child in family if child.is_running() and child.status() != "zombie"] == []
    assert not (up.home / "run" / "label-studio.json").exists()


def _logs_in(user: str, password: str, url: str) -> None:
    """As the login page does."""
    with httpx.Client(base_url=url, timeout=WAIT_S) as browser:
        browser.get("/user/login/")
        form = {
            "email": user,
            "password": password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        answer = browser.post("/user/login/", data=form)
        assert answer.status_code == 302, answer.text
        assert browser.get("/api/current-user/whoami").json()["email"] == user


def _is_set_up(up: Up) -> None:
    with as_owner(up) as client:
        (project,) = client.get("/api/projects/").json()["results"]
        assert project["title"] == "imgclf"
        assert "dog &amp; co" in project["label_config"]
        assert project["show_collab_predictions"]
        query = {"project": project["id"]}
        (storage,) = client.get("/api/storages/localfiles", params=query).json()
        (backend,) = client.get("/api/ml/", params=query).json()
        hooks = [hook["url"] for hook in client.get("/api/webhooks/").json()]
    assert storage["path"] == str(up.home / "store" / "raw")
    assert backend["state"] == "CO", backend
    assert backend["auth_method"] == "BASIC_AUTH"
    assert f"{up.url('labelling')}/webhook" in hooks


def _shows_only_images_of_the_store(up: Up) -> None:
    raw = up.home / "store" / "raw" / "two words"
    raw.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(raw / "a+b%20.png")
    with as_owner(up) as client:
        path = "/data/local-files/"
        shown = client.get(path, params={"d": "raw/two words/a+b%20.png"})
        assert shown.status_code == 200, shown.text
        assert shown.content == (raw / "a+b%20.png").read_bytes()
        for other in ("../label-studio/password", "raw/../../label-studio/password", ".store"):
            assert client.get(path, params={"d": other}).status_code >= 400
    with httpx.Client(base_url=up.url("label_studio"), timeout=WAIT_S) as anybody:
        path = "/data/local-files/?d=raw/two words/a+b%20.png"
        assert anybody.get(path).status_code in {302, 401, 403}


def _nothing_secret_in_logs(up: Up) -> None:
    names = ("password", "server-token", "secret-key")
    secrets = [(up.home / "label-studio" / name).read_text().strip() for name in names]
    credentials = json.loads((up.home / "label-studio" / "backend.json").read_text())
    secrets += [credentials["password"], credentials["feedback_token"]]
    for log in (up.home / "logs").iterdir():
        text = log.read_text(encoding="utf-8", errors="replace")
        assert [secret for secret in secrets if secret in text] == [], log
    for process in psutil.Process(up.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            command = " ".join(process.cmdline())
            assert [secret for secret in secrets if secret in command] == [], command
    assert stat.S_IMODE((up.home / "label-studio").stat().st_mode) == 0o700


def test_a_taken_port_starts_nothing(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start("--label-studio", IMGCLF_PORTS__LABEL_STUDIO=str(port))
        assert up.process.wait(WAIT_S) == 1
    wait_for(lambda: "is taken by" in up.output, lambda: up.output)
    assert f"port {port}, wanted for Label Studio, is taken by" in up.output
    assert "IMGCLF_PORTS__LABEL_STUDIO" in up.output
    assert not (up.home / "logs" / "label-studio.log").exists()
    assert not (up.home / "run" / "label-studio.json").exists()


def test_without_a_token_a_server_by_url_starts_nothing(start: Start) -> None:
    up = start(IMGCLF_LABEL_STUDIO__URL="http://127.0.0.1:9")
    assert up.process.wait(WAIT_S) == 1
    wait_for(lambda: "there is no token for it" in up.output, lambda: up.output)
    assert "label-studio/token" in up.output


def test_a_server_by_url_is_set_up_and_outlives_us(
    start: Start, label_studio: LabelStudioServer
) -> None:
    title = f"by url {os.getpid()}"
    up = start(
        IMGCLF_LABEL_STUDIO__URL=label_studio.url,
        IMGCLF_LABEL_STUDIO__TOKEN=label_studio.token,
        IMGCLF_LABEL_STUDIO__PROJECT_TITLE=title,
        IMGCLF_LABELS__NAMES='["a", "b"]',
    )
    up.wait_until_up()
    wait_for(lambda: "✓ Project" in up.output, lambda: up.output)
    assert "✓ Label Studio" not in up.output
    # Its document root is not our store, which it says; all else is there.
    wait_for(lambda: "! Project" in up.output, lambda: up.output)
    assert "LOCAL_FILES_DOCUMENT_ROOT" in up.output or "document root" in up.output.lower()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(WAIT_S) == 0
    with label_studio.client() as client:
        titles = [row["title"] for row in client.get("/api/projects/").json()["results"]]
    assert title in titles
