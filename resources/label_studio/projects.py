"""The project on a Label Studio server: finding, creating and updating it."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from labelling.label_studio.config import (
    LabelConfigError,
    is_former_page,
    label_config,
    parse_label_config,
)
from labelling.labels.schema import LabelSchema
from resources.label_studio.session import open_sdk
from resources.label_studio.types import (
    LabelStudioDown,
    LabelStudioRefused,
    Project,
    ProjectMissing,
    User,
)

SAMPLING = "Uncertainty sampling"
"""Sampling in which the server serves tasks with the lowest score of ``project.model_version``
first."""

TITLE_LENGTHS = range(3, 51)
"""Lengths of titles that Label Studio accepts, in characters."""

_FIELDS = (
    "id,title,label_config,model_version,sampling,show_collab_predictions,task_number,"
    "finished_task_number,total_annotations_number,skipped_annotations_number,"
    "total_predictions_number,created_at"
)


def whoami(session: httpx.Client) -> User:
    """Return the token's user."""
    body = session.get("/api/current-user/whoami").json()
    return User(id=int(body["id"]), email=str(body["email"]))


def server_version(session: httpx.Client) -> str:
    """Return the server's version."""
    body = session.get("/api/version").json()
    return str(body.get("release") or body.get("label-studio-os-package", {}).get("version", ""))


def find_project(session: httpx.Client, title: str, project_id: int | None) -> int:
    """Return the project's id: ``project_id`` if given, else found by its exact title.

    Of several projects with the title, the one that was made first.

    Args:
        session: open connection to the server.
        title: of the project.
        project_id: returned unchecked if it is not ``None``.

    Raises:
        ProjectMissing: no project has the title.
        LabelStudioRefused: neither an id nor a title is given.
    """
    # Two projects of one title can only come from two programs that made it at the same time.
    if project_id is not None:
        return project_id
    if not title.strip():
        raise LabelStudioRefused(
            "no project of Label Studio is named; set label_studio.project_title"
        )
    found = find_by_title(session, title)
    if not found:
        raise ProjectMissing(
            f"Label Studio at {session.base_url} has no project {title!r} that this token sees; "
            "`imgclf up --label-studio` makes it, label_studio.project_title names another"
        )
    return min(found)


def find_by_title(session: httpx.Client, title: str) -> list[int]:
    """Return the ids of the projects with exactly this title, ignoring spaces around it."""
    title, found, page, more = title.strip(), [], 1, True
    while more:
        # The server's filter is "contains, in any case".
        params = {"title": title, "include": "id,title", "page_size": "1000", "page": str(page)}
        body = session.get("/api/projects/", params=params).json()
        found += [int(row["id"]) for row in body["results"] if row["title"] == title]
        page, more = page + 1, bool(body.get("next"))
    return found


def read_project(session: httpx.Client, project_id: int) -> Project:
    """Read the project's current state. Raises ProjectMissing."""
    with project_missing(session, project_id):
        row = session.get(f"/api/projects/{project_id}/", params={"include": _FIELDS}).json()
    return _project(row)


def ensure_project(
    session: httpx.Client,
    title: str,
    project_id: int | None,
    schema: LabelSchema,
    names: Sequence[str],
    renamed: Collection[str] = (),
) -> Project:
    """Create or update the project; see :meth:`LabelStudio.ensure_project`.

    Args:
        session: open connection to the server.
        title: of the project.
        project_id: the project's id; ``None`` to find it by its title.
        schema: gives the task of the labelling page.
        names: labels to choose from.
        renamed: former names of labels, which may be removed though annotations use them.

    Returns:
        The project as the server has it afterwards.
    """
    page = label_config(schema, names)
    try:
        found = find_project(session, title, project_id)
    except ProjectMissing:
        found = _create(session, title, page)
    project = read_project(session, found)
    wanted = parse_label_config(page)
    same = (project.labels, project.choice) == (wanted.names, wanted.choice)
    # A page that somebody has extended is not changed.
    if not same or is_former_page(project.page, schema, names):
        kept = [name for name in project.labels if name in renamed and name not in names]
        _change_page(session, project, page, label_config(schema, [*names, *kept]))
    if (project.sampling, project.shows_predictions) != (SAMPLING, True):
        projects = open_sdk(session).projects
        projects.update(found, sampling=SAMPLING, show_collab_predictions=True)
    return read_project(session, found)


@contextmanager
def project_missing(session: httpx.Client, project_id: int) -> Iterator[None]:
    """Convert the server's 403 and 404 to ProjectMissing."""
    try:
        yield
    except LabelStudioRefused as error:
        if error.status not in (403, 404):
            raise
        raise ProjectMissing(
            f"Label Studio at {session.base_url} has no project {project_id} that this token "
            "sees: was it deleted? `imgclf up --label-studio` recreates it; labels that are in "
            "the store stay"
        ) from None


def _create(session: httpx.Client, title: str, page: str) -> int:
    if len(title.strip()) not in TITLE_LENGTHS:
        raise LabelStudioRefused(
            f"{title!r} cannot be a project's title: Label Studio takes 3 to 50 characters; set "
            "label_studio.project_title"
        )
    projects = open_sdk(session).projects
    try:
        projects.create(
            title=title,
            label_config=page,
            sampling=SAMPLING,
            show_collab_predictions=True,
            description="Kept by imgclf-dagster. Tasks are added and removed automatically.",
        )
    except LabelStudioDown:
        # The answer may be lost although the project was made.
        return find_project(session, title, None)
    # Two programs may have made one each at the same time: both must use the same.
    return find_project(session, title, None)


def _change_page(session: httpx.Client, project: Project, page: str, checked: str) -> None:
    """Replace the page, unless labels in use would be removed (which a PATCH alone accepts).

    Args:
        session: open connection to the server.
        project: before the change.
        page: the new page, as XML.
        checked: the new page with the labels that may be removed, for the server's check.

    Raises:
        LabelStudioRefused: labels in use would be removed.
    """
    try:
        session.post(
            f"/api/projects/{project.id}/validate/",
            json={"label_config": checked},
            extensions={"idempotent": True},
        )
    except LabelStudioRefused as error:
        if error.status != 400:
            raise
        raise LabelStudioRefused(
            f"the project {project.title!r} cannot change to the labels of the schema: {error}. "
            "Put them back into labels.names, or relabel those images in Label Studio first",
            error.status,
        ) from None
    session.patch(f"/api/projects/{project.id}/", json={"label_config": page})


def _project(row: dict[str, Any]) -> Project:
    try:
        page = parse_label_config(row.get("label_config") or "")
        labels, choice = page.names, page.choice
    except LabelConfigError:
        labels, choice = (), ""
    return Project(
        id=int(row["id"]),
        title=str(row["title"]),
        labels=labels,
        choice=choice,
        page=row.get("label_config") or "",
        model_version=row.get("model_version") or "",
        sampling=row.get("sampling") or "",
        shows_predictions=bool(row.get("show_collab_predictions")),
        tasks=int(row.get("task_number") or 0),
        labelled=int(row.get("finished_task_number") or 0),
        annotations=int(row.get("total_annotations_number") or 0),
        predictions=int(row.get("total_predictions_number") or 0),
        created_at=datetime.fromisoformat(row["created_at"]).astimezone(UTC),
    )
