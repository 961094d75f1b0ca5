"""Withdrawing tasks from a Label Studio project without losing annotations.

Between a check and a deletion somebody may save an annotation, and the server would delete it with
the task; it has no conditional deletion, and does not report which tasks are open in a browser. So a
task is first moved to another project, which serves it to nobody, and where annotations from a page
that is still open are saved. Tasks with annotations are moved back; the others are deleted an hour
later.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from resources.label_studio.projects import TITLE_LENGTHS, find_by_title, project_missing
from resources.label_studio.tasks import all_tasks_whole, find_tasks, is_touched, whole_task
from resources.label_studio.types import LabelStudioDown, LabelStudioRefused

KEPT = timedelta(hours=1)
"""Time before a withdrawn task is deleted: longer than a page of one image stays open."""

DELETED_AT_ONCE = 100
"""Most deletions per call; each takes the server about 0.1 s."""

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
    """Move withdrawn tasks with work on them back; delete those withdrawn an hour ago.

    Args:
        session: open connection to the server.
        project: id of the project that tasks were withdrawn from.
        now: for tests.
        deletions: most tasks to delete.

    Returns:
        The ids of the tasks that were moved back.
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
    # Annotations first: else they would keep the other project's id, and be deleted with that
    # project.
    for annotation in whole_task(session, aside, task).get("annotations", ()):
        if annotation["project"] != project:
            session.patch(f"/api/annotations/{annotation['id']}/", json={"project": project})
    _move(session, task, aside, project)


def _move(session: httpx.Client, task: int, source: int, target: int) -> bool:
    """Move a task to another project; False if it does not exist."""
    try:
        # Without the parameter the server looks for the task in the target project.
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
        # An annotation was saved just now: the database keeps a task that an annotation refers to.
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
    # With the id: two projects may have the same title, or the same first 30 characters.
    suffix = f" {about['id']}{_SUFFIX}"
    return f"{about['title'][: TITLE_LENGTHS[-1] - len(suffix)]}{suffix}"
