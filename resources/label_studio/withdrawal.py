"""Taking tasks out of a Label Studio project without ever losing what an annotator saves.

Between a look and a deletion somebody may save an annotation, and the server would delete it with
the task; it has no conditional deletion, nor does it say which tasks are open on somebody's
screen. So a task is first moved to a project of its own, where nobody is served it, and where what
is still saved on an open page arrives all the same. What was saved there comes back; the rest is
deleted an hour later.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from resources.label_studio.projects import TITLE_LENGTHS, find_by_title, project_missing
from resources.label_studio.tasks import all_tasks_whole, find_tasks, is_touched, whole_task
from resources.label_studio.types import LabelStudioDown, LabelStudioRefused

KEPT = timedelta(hours=1)
"""Longer than anybody looks at one image."""

DELETED_AT_ONCE = 100
"""Each takes the server about 0.1 s, and nobody should have to wait for it."""

_SUFFIX = " (withdrawn)"


def withdraw(session: httpx.Client, project: int, sample_ids: Iterable[str]) -> int:
    """Withdraw the untouched tasks of images; see :meth:`LabelStudio.withdraw`.

    Args:
        session: open connection to the server.
        project: the project's id.
        sample_ids: of the images.

    Returns:
        How many tasks were withdrawn.
    """
    found = find_tasks(session, project, sample_ids, whole=True)
    untouched = [task for task in found if not is_touched(task)]
    return set_aside(session, project, untouched)


def set_aside(session: httpx.Client, project: int, tasks: Sequence[Mapping[str, Any]]) -> int:
    """Move tasks to the project of withdrawn tasks.

    Args:
        session: open connection to the server.
        project: id of the project that they leave.
        tasks: as the API gives them, with ``id``.

    Returns:
        How many stay there: one on which somebody saved something meanwhile is moved back.
    """
    if not tasks:
        return 0
    aside = _find_aside(session, project) or _make_aside(session, project)
    moved = {int(task["id"]) for task in tasks if _move(session, int(task["id"]), project, aside)}
    return len(moved) - len(moved & tend_withdrawn(session, project))


def tend_withdrawn(
    session: httpx.Client,
    project: int,
    now: datetime | None = None,
    *,
    deletions: int = DELETED_AT_ONCE,
) -> set[int]:
    """Bring back what somebody has worked on, delete what has lain there for an hour.

    Args:
        session: of the server.
        project: the one that tasks were withdrawn from.
        now: for tests.
        deletions: at most so many.

    Returns:
        The ids of the tasks that came back.
    """
    aside = _find_aside(session, project)
    if aside is None:
        return set()
    old = (now or datetime.now(UTC)) - KEPT
    back, deleted = set(), 0
    for task in list(all_tasks_whole(session, aside)):
        number = int(task["id"])
        if is_touched(task):
            _bring_back(session, number, aside, project)
            back.add(number)
        elif datetime.fromisoformat(task["updated_at"]) < old and deleted < deletions:
            _delete(session, number)
            deleted += 1
    return back


def _bring_back(session: httpx.Client, task: int, aside: int, project: int) -> None:
    # First the annotations: with the task they would be read with the other project's number, and
    # they would go with that project if somebody deleted it.
    for annotation in whole_task(session, aside, task).get("annotations", ()):
        if annotation["project"] != project:
            session.patch(f"/api/annotations/{annotation['id']}/", json={"project": project})
    _move(session, task, aside, project)


def _move(session: httpx.Client, task: int, source: int, target: int) -> bool:
    """Whether the task was there to be moved."""
    try:
        # Without the parameter the server looks for the task in the project it is to go to.
        session.patch(
            f"/api/tasks/{task}/", params={"project": str(source)}, json={"project": target}
        )
    except LabelStudioRefused as error:
        if error.status != 404:
            raise
        return False
    return True


def _delete(session: httpx.Client, task: int) -> None:
    try:
        session.delete(f"/api/tasks/{task}/")
    except LabelStudioRefused as error:
        if error.status != 404:  # gone already, or the answer to the first try was lost
            raise
    except LabelStudioDown:
        # Saved in this very moment: the database keeps a task that an annotation refers to.
        return


def _find_aside(session: httpx.Client, project: int) -> int | None:
    return min(find_by_title(session, _aside_title(_about(session, project))), default=None)


def _make_aside(session: httpx.Client, project: int) -> int:
    about = _about(session, project)
    title = _aside_title(about)
    body = {
        "title": title,
        "label_config": about["label_config"],
        "description": f"Tasks taken out of project {project}, deleted after an hour. "
        "Kept by imgclf-dagster; label nothing here.",
    }
    session.post("/api/projects/", json=body)
    return min(find_by_title(session, title))


def _about(session: httpx.Client, project: int) -> dict[str, Any]:
    with project_missing(session, project):
        fields = {"include": "id,title,label_config"}
        about: dict[str, Any] = session.get(f"/api/projects/{project}/", params=fields).json()
    return about


def _aside_title(about: Mapping[str, Any]) -> str:
    # With the number: two projects may have the same title, or the same first 30 letters.
    suffix = f" {about['id']}{_SUFFIX}"
    return f"{about['title'][: TITLE_LENGTHS[-1] - len(suffix)]}{suffix}"
