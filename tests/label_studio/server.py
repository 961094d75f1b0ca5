"""A real Label Studio on a free port, in a folder that is thrown away.

It is installed by the product's own installer, once for a user (`~/.cache/imgclf`, or the folder
in IMGCLF_LABEL_STUDIO_ENV), and starts from a database that is migrated already.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from imgclf_dagster.label_studio.install import Installation
from imgclf_dagster.label_studio.server import USERNAME, Server
from imgclf_dagster.processes.process_groups import Watchdog, end_groups
from tests.patience import WAIT_S
from tests.ports import free_port


class LabelStudioServer:
    """A server for tests: runs after ``start``, and not after ``stop``; what it keeps stays.

    Attributes:
        url: stays the same when it is started again.
        token: legacy API token of its only user, an administrator.
        data_dir: where it keeps its database.
        document_root: local files are served from folders *below* it, once a project has a
            storage that names them.
        log_file: what it says.
    """

    def __init__(
        self, folder: Path, installation: Installation, variables: Mapping[str, str] | None = None
    ) -> None:
        """Nothing runs until ``start``. ``variables`` are set besides the product's own."""
        self._variables = dict(variables or {})
        self.document_root = folder / "files"
        self.document_root.mkdir(parents=True)
        self.log_file = folder / "label-studio.log"
        self._installation = installation
        self.server = Server(folder / "label-studio", self.document_root, free_port())
        self.server.prepare(installation)
        self.url = self.server.url
        self.token = self.server.token()
        self.data_dir = self.server.data_dir
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._personal_token = ""

    @property
    def username(self) -> str:
        """For the login page."""
        return USERNAME

    @property
    def password(self) -> str:
        """For the login page."""
        return self.server.password()

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it unless it runs, and wait until it knows its token."""
        if self.running:
            return self
        if self._watchdog is None:
            self._watchdog = Watchdog().__enter__()  # so that it ends with a killed test run, too
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.server.command(self._installation),
                env=clean_environ() | self.server.environment() | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog.note(self._process.pid)
        healthy, deadline = self.server.healthy(), time.monotonic() + WAIT_S
        while not healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log_file.read_text(encoding="utf-8", errors="replace")[-4000:]
                self.stop()
                raise RuntimeError(f"Label Studio does not come up:\n{text}")
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        """End it at once, as a crash does; ``start`` brings it back with all that it kept."""
        if self._process is None:
            return
        end_groups([self._process.pid], kill_after_s=2.0)
        self._process.wait()
        if self._watchdog is not None:
            self._watchdog.forget(self._process.pid)
        self._process = None

    def close(self) -> None:
        """End it for good."""
        self.stop()
        if self._watchdog is not None:
            self._watchdog.__exit__(None, None, None)
            self._watchdog = None

    def client(self) -> httpx.Client:
        """Plain HTTP with the token, to look past the port at what is really there."""
        headers = {"Authorization": f"Token {self.token}"}
        return plain_client(self.url, headers=headers)

    def personal_token(self) -> str:
        """The personal access token of its user, who may have one at a time."""
        if not self._personal_token:
            with self.client() as client:
                settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
                client.post("/api/jwt/settings", json=settings).raise_for_status()
                made = client.post("/api/token/").raise_for_status()
            self._personal_token = made.json()["token"]
        return self._personal_token

    def project(
        self,
        title: str,
        labels: tuple[str, ...] = ("cat", "dog"),
        choice: str = "single",
        **fields: Any,
    ) -> int:
        """A new project for image classification; returns its id.

        Args:
            title: need not be unique.
            labels: the choices.
            choice: ``single`` or ``multiple``.
            fields: further ones of ``POST /api/projects``.
        """
        choices = "".join(f'<Choice value="{label}"/>' for label in labels)
        config = (
            '<View><Image name="image" value="$image"/>'
            f'<Choices name="label" toName="image" choice="{choice}">{choices}</Choices></View>'
        )
        body = {"title": title, "label_config": config, **fields}
        with self.client() as client:
            answer = client.post("/api/projects", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def delete_project(self, project_id: int) -> None:
        """Delete a project and all that is in it."""
        with self.client() as client:
            answer = client.delete(f"/api/projects/{project_id}")
        assert answer.status_code == 204, answer.text


def plain_client(url: str, **options: Any) -> httpx.Client:
    """A client of a server of the tests; it loads no certificates, which takes 30 ms."""
    return httpx.Client(base_url=url, timeout=WAIT_S, trust_env=False, verify=False, **options)


def clean_environ() -> dict[str, str]:
    """This process's environment, without what may be meant for Label Studio or for imgclf."""
    ours = ("IMGCLF_", "LABEL_STUDIO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
