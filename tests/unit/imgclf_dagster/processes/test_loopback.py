"""Requests to programs on this machine cost little, since `imgclf up` makes hundreds at its start."""

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from imgclf_dagster.cli.up import up
from imgclf_dagster.label_studio import programs
from imgclf_dagster.label_studio.server import USERNAME, Server
from imgclf_dagster.processes.supervisor import http_healthy
from serving.labelling.access import Credentials

pytestmark = pytest.mark.unit


class Healthy(BaseHTTPRequestHandler):
    """Answers each of the checks as its program would."""

    def do_GET(self) -> None:
        self.answer(f'{{"email": "{USERNAME}"}}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        daemon = '{"required": true, "lastHeartbeatTime": 1e12}'
        health = f'{{"daemonHealth": {{"allDaemonStatuses": [{daemon}]}}}}'
        self.answer(f'{{"data": {{"instance": {health}}}}}')

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def of_label_studio(url: str, folder: Path) -> Callable[[], bool]:
    (folder / "server-token").write_text("0" * 40)
    (folder / "server-token").chmod(0o600)
    return Server(folder, folder, int(url.rsplit(":", 1)[1])).healthy()


CHECKS = {
    "a page": lambda url, folder: http_healthy(url),
    "Dagster's daemon": lambda url, folder: up._daemon_healthy(url),
    "Label Studio": of_label_studio,
    "the labelling backend": lambda url, folder: programs._backend_healthy(
        url,
        Credentials(user="u", password=SecretStr("p" * 8), feedback_token=SecretStr("t" * 8)),
    ),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_no_certificates_are_loaded(
    check: Callable[[str, Path], Callable[[], bool]],
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    def load(self: ssl.SSLContext, cafile: str | None = None, *_: object, **__: object) -> None:
        loaded.append(f"{cafile}")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", load)
    assert check(f"http://127.0.0.1:{port}", tmp_path)()
    assert loaded == []
