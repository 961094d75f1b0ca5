"""The connection of the client's parts: the HTTP session, and the project that requests are about."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx

from resources.label_studio.session import open_sdk, open_session
from resources.label_studio.types import LabelStudioRefused, ProjectMissing

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio as Sdk


@dataclass(frozen=True)
class Connection:
    """A connection to one project on a server. Nothing is requested until it is used.

    Attributes:
        url: address of the server.
        token: legacy or personal; the repr does not show it.
        title: of the project.
        project_id: used instead of the title, if given.
    """

    url: str
    token: str = field(repr=False)
    title: str = ""
    project_id: int | None = None

    @property
    def http(self) -> httpx.Client:
        """The HTTP session, which all connections to this server share.

        Raises:
            LabelStudioRefused: no server is configured.
        """
        if not (self.url and self.token):
            raise LabelStudioRefused(
                "no Label Studio is configured; start one (`imgclf up --label-studio`) or set "
                "label_studio.url and label_studio.token"
            )
        return open_session(self.url, self.token)

    @property
    def sdk(self) -> "Sdk":
        """Label Studio's SDK on the same session; see ``open_sdk``."""
        return open_sdk(self.http)

    @cached_property
    def id(self) -> int:
        """The project's id: ``project_id`` unchecked, else looked up by the exact title.

        If several projects have the title, the one that was created first.

        Raises:
            ProjectMissing: no project has the title.
            LabelStudioRefused: neither an id nor a title is configured.
        """
        if self.project_id is not None:
            return self.project_id
        if not self.title.strip():
            raise LabelStudioRefused(
                "no project of Label Studio is named; set label_studio.project_title"
            )
        # Two projects of one title can only come from two programs that made it at the same time:
        # both must use the same one.
        found = self.find_projects(self.title)
        if not found:
            raise ProjectMissing(
                f"Label Studio at {self.http.base_url} has no project {self.title!r} that this "
                "token sees; `imgclf up --label-studio` makes it, label_studio.project_title names "
                "another"
            )
        return min(found)

    @property
    def path(self) -> str:
        """Path of the project in the API, without a slash at its end."""
        return f"/api/projects/{self.id}"

    def project_url(self, project_id: int) -> str:
        """Return the URL of a project's page with the list of its tasks."""
        return f"{self.url.rstrip('/')}/projects/{project_id}/data"

    def to_project(self, project_id: int) -> "Connection":
        """Return a connection to another project on the same server."""
        return replace(self, project_id=project_id)

    def find_projects(self, title: str) -> list[int]:
        """Return the ids of the projects with exactly this title, ignoring spaces around it."""
        title, found, page, more = title.strip(), [], 1, True
        while more:
            # The server's filter is "contains, in any case".
            params = {
                "title": title,
                "include": "id,title",
                "page_size": "1000",
                "page": str(page),
            }
            body = self.http.get("/api/projects/", params=params).json()
            found += [int(row["id"]) for row in body["results"] if row["title"] == title]
            page, more = page + 1, bool(body.get("next"))
        return found

    def read_fields(self, *names: str) -> dict[str, Any]:
        """Read fields of the project, by the API's names. Raises ProjectMissing."""
        with self.project_missing():
            fields: dict[str, Any] = self.http.get(
                f"{self.path}/", params={"include": ",".join(names)}
            ).json()
        return fields

    @contextmanager
    def project_missing(self) -> Iterator[None]:
        """Convert the server's 403 and 404 to ProjectMissing."""
        project = self.id
        try:
            yield
        except LabelStudioRefused as error:
            if error.status not in (403, 404):
                raise
            raise ProjectMissing(
                f"Label Studio at {self.http.base_url} has no project {project} that this token "
                "sees: was it deleted? `imgclf up --label-studio` recreates it; labels that are "
                "in the store stay"
            ) from None
