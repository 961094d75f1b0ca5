"""People on a Label Studio for tests, each with an account of their own."""

import re
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import httpx

from tests.label_studio.server import LabelStudioServer, plain_client

_CSRF = re.compile(r'csrfmiddlewaretoken" value="([^"]+)')


@dataclass
class Annotator:
    """Somebody who signed up by an invitation; ``http`` is theirs."""

    id: int
    email: str
    http: httpx.Client

    @classmethod
    def invited(cls, server: LabelStudioServer) -> Self:
        """Sign up as people do: the administrator's link, the form, then a token of one's own."""
        email = f"{uuid4().hex[:8]}@example.com"
        with server.client() as admin:
            link = admin.get("/api/invite").raise_for_status().json()["invite_url"]
        with plain_client(server.url) as browser:
            form = {"email": email, "password": "label-me-2"}
            token = _CSRF.search(browser.get(link).text)
            assert token is not None
            form["csrfmiddlewaretoken"] = token[1]
            browser.post(link, data=form, headers={"Referer": server.url + link})
            who = browser.get("/api/current-user/whoami").raise_for_status().json()
            key = browser.get("/api/current-user/token").raise_for_status().json()["token"]
        headers = {"Authorization": f"Token {key}"}
        http = plain_client(server.url, headers=headers)
        return cls(int(who["id"]), email, http)

    def next_task(self, project: int) -> dict[str, Any] | None:
        """What the label stream serves; ``None``: nothing is left for this person."""
        answer = self.http.get(f"/api/projects/{project}/next")
        if answer.status_code == 404:
            return None
        task: dict[str, Any] = answer.raise_for_status().json()
        return task

    def say(self, task: int, label: str, project: int) -> int:
        """Save an annotation; its number."""
        made = self.http.post(
            f"/api/tasks/{task}/annotations/", json={"project": project, "result": _result(label)}
        )
        return int(made.raise_for_status().json()["id"])

    def change(self, annotation: int, label: str) -> None:
        """Think better of it."""
        body = {"result": _result(label)}
        self.http.patch(f"/api/annotations/{annotation}/", json=body).raise_for_status()

    def label_all(self, project: int, label: str) -> list[str]:
        """Label whatever is served; the images (sha256), in order."""
        images = []
        while (task := self.next_task(project)) is not None:
            self.say(int(task["id"]), label, project)
            images.append(str(task["data"]["sample_id"]))
        return images


def _result(label: str) -> list[dict[str, Any]]:
    value = {"choices": [label]}
    return [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]
