"""Importing new tasks into a Label Studio project, one per image.

The server accepts the same task repeatedly, so existing tasks are looked up by the image's hash
before and after each request. A lost answer is no failure: the next look-up finds the tasks. A
request that was repeated while its first try still ran leaves duplicates, which are withdrawn.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx

from resources.label_studio.predictions import WRITE_TIMEOUT_S, PredictionCheck
from resources.label_studio.projects import project_missing
from resources.label_studio.tasks import batched, find_tasks, is_touched, tasks_with_ids
from resources.label_studio.types import ImportResult, LabelStudioDown, LabelStudioRefused, NewTask
from resources.label_studio.withdrawal import set_aside

CHUNK = 500
WAITS_S = (1.0, 2.0, 4.0)
"""Seconds before the next look-up after a failure: a slow server may still be working."""

ASYNC_POLL_S = 2.0

Found = Mapping[str, Sequence[Mapping[str, Any]]]


def import_tasks(
    session: httpx.Client, project: int, tasks: Iterable[NewTask], progress: Callable[[int], None]
) -> ImportResult:
    """Import tasks that the project does not have; see :meth:`LabelStudio.import_tasks`.

    Args:
        session: open connection to the server.
        project: the project's id.
        tasks: to import; read 500 at a time.
        progress: called after each chunk with the number of tasks in it.
    """
    check = PredictionCheck(session, project)
    new = known = 0
    for chunk in batched(tasks, CHUNK):
        named = {task.sample_id: task for task in chunk}
        made = _import_chunk(session, project, check, named)
        new, known = new + made, known + len(chunk) - made
        progress(len(chunk))
    return ImportResult(new=new, known=known)


def _import_chunk(
    session: httpx.Client, project: int, check: PredictionCheck, named: Mapping[str, NewTask]
) -> int:
    """Import the missing tasks of a chunk, so that each image has one; returns how many were made."""
    found = _find(session, project, named)
    missing = [sample_id for sample_id in named if sample_id not in found]
    made = len(missing)
    failed = False
    for wait in (*WAITS_S, None):
        if not missing:
            break
        body = [_task(named[sample_id], check) for sample_id in missing]
        try:
            ids = _send(session, project, body)
            new = {task["data"]["sample_id"] for task in tasks_with_ids(session, project, ids)}
            if new.issuperset(missing) and not failed:
                break
        except LabelStudioDown:
            if wait is None:
                raise
            failed = True
            time.sleep(wait)
        found = _find(session, project, named)
        missing = [sample_id for sample_id in named if sample_id not in found]
    else:
        if missing:
            raise LabelStudioRefused(
                f"Label Studio took {made} tasks for project {project}, but {len(missing)} are "
                f"not there, of {', '.join(missing[:3])}; does somebody delete them? Import again"
            )
    take_twins_away(session, project, (image for image, tasks in found.items() if len(tasks) > 1))
    return made


def _send(session: httpx.Client, project: int, body: Sequence[Mapping[str, Any]]) -> list[int]:
    """Send tasks; returns their ids if the server reports them, else nothing."""
    with project_missing(session, project):
        answer = session.post(
            f"/api/projects/{project}/import",
            params={"return_task_ids": "true"},
            json=body,
            timeout=WRITE_TIMEOUT_S,
        ).json()
    if "import" in answer:
        # The Enterprise edition imports asynchronously: wait, or all would be sent again.
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        sample_ids = [task["data"]["sample_id"] for task in body]
        while len(_find(session, project, sample_ids)) < len(body) and time.monotonic() < deadline:
            time.sleep(ASYNC_POLL_S)
    return list(answer.get("task_ids", ()))


def _find(
    session: httpx.Client, project: int, sample_ids: Iterable[str], *, whole: bool = False
) -> Found:
    found = defaultdict(list)
    for task in find_tasks(session, project, sample_ids, whole=whole):
        found[str(task["data"]["sample_id"])].append(task)
    return found


def take_twins_away(session: httpx.Client, project: int, sample_ids: Iterable[str]) -> int:
    """Withdraw duplicate tasks: of an image's tasks keep those with work on them, else the first.

    Args:
        session: open connection to the server.
        project: the project's id.
        sample_ids: of the images to look at.

    Returns:
        How many tasks were withdrawn, as by ``LabelStudio.withdraw``.
    """
    surplus = []
    for tasks in _find(session, project, sample_ids, whole=True).values():
        untouched = [task for task in tasks if not is_touched(task)]
        surplus += untouched[1:] if len(untouched) == len(tasks) else untouched
    return set_aside(session, project, surplus)


def _task(task: NewTask, check: PredictionCheck) -> dict[str, Any]:
    """Convert a task to Label Studio's JSON."""
    meta: dict[str, Any] = {"batch": task.batch, "reasons": dict(task.reasons)}
    if task.suggested:
        meta["suggested"] = list(task.suggested)
    made: dict[str, Any] = {
        "data": {
            "image": task.image,
            "sample_id": task.sample_id,
            "uri": task.uri,
            "why": task.why,
        },
        "meta": meta,
    }
    if task.prediction is not None:
        made["predictions"] = [check.prediction(task.sample_id, task.prediction)]
    return made
