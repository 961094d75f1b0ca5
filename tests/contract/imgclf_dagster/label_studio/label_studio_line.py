"""A line whose people label in the Label Studio for tests."""

import base64
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.doctor.label_studio import examine_label_studio
from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.label_studio.access import credentials
from imgclf_dagster.label_studio.setup import SetUp, set_up
from imgclf_dagster.settings.root import Settings, load_settings
from tests.label_studio.server import LabelStudioServer
from tests.ports import free_port

_NUMBERS = itertools.count(1)


class Line:
    """A home whose Label Studio is the one for tests, with the store as its document root."""

    def __init__(self, server: LabelStudioServer, home: Path) -> None:
        self.server = server
        self.title = f"line {next(_NUMBERS)} of {home.parent.name}"[:50]
        self.section: dict[str, Any] = {
            "url": server.url,
            "token": server.token,
            "project_title": self.title,
        }
        self.labels: dict[str, Any] = {"names": ["cat", "dog"]}
        self.labelling: dict[str, Any] = {}
        self.ports = {"labelling": free_port()}

    def settings(self) -> Settings:
        settings = load_settings(
            label_studio=self.section,
            labels=self.labels,
            labelling=self.labelling,
            ports=self.ports,
            project="line",
        )
        prepare_home(settings)
        return settings

    def set_up(self) -> SetUp:
        return set_up(self.settings())

    def findings(self) -> dict[str, Finding]:
        return {finding.what: finding for finding in examine_label_studio(self.settings())}

    def get(self, path: str, **query: Any) -> Any:
        with self.server.client() as client:
            answer = client.get(path, params=query)
            assert answer.status_code == 200, answer.text
            return answer.json()

    def predict(self, project: int, version: str) -> None:
        """A task with a pre-label of ``version``."""
        with self.server.client() as client:
            data = {"image": "/x.png", "sample_id": "1" * 64, "why": ""}
            task = client.post("/api/tasks/", json={"project": project, "data": data}).json()
            value = {"choices": ["cat"]}
            result = [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]
            body = [{"task": task["id"], "model_version": version, "score": 0.5, "result": result}]
            answer = client.post(f"/api/projects/{project}/import/predictions", json=body)
            assert answer.status_code == 201, answer.text

    def retitle(self, project: int, title: str) -> None:
        """Give the connected backend another title, whatever it serves."""
        known = credentials(self.settings())
        (row,) = self.get("/api/ml/", project=project)
        body = {name: row[name] for name in ("project", "url", "auth_method", "basic_auth_user")}
        secret = {"basic_auth_pass": known.password.get_secret_value()}
        with self.server.client() as client:
            answer = client.patch(f"/api/ml/{row['id']}", json={**body, **secret, "title": title})
            assert answer.status_code == 200, answer.text

    @contextmanager
    def backend(self, model_version: str = "", status: int = 200) -> Iterator[str]:
        """Something that answers as an ML backend does, at our port, with our password."""
        known = credentials(self.settings())
        secret = f"{known.user}:{known.password.get_secret_value()}".encode()
        wanted = f"Basic {base64.b64encode(secret).decode()}"

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({"status": "UP"})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.answer({"model_version": model_version})

            def answer(self, body: dict[str, str]) -> None:
                right = self.headers.get("Authorization") == wanted
                data = json.dumps(body).encode()
                self.send_response(status if right else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.ports["labelling"]), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{self.ports['labelling']}"
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture
def line(
    label_studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Line]:
    # Below the server's document root, for it to see the store; by a link, as homes may be.
    (label_studio.document_root / tmp_path.name).mkdir()
    home = tmp_path / "home"
    home.symlink_to(label_studio.document_root / tmp_path.name)
    for name in ("DAGSTER_HOME", "IMGCLF_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IMGCLF_HOME", str(home))
    made = Line(label_studio, home)
    yield made
    for project in made.get("/api/projects/", title=made.title)["results"]:
        label_studio.delete_project(project["id"])
