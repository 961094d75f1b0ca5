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

from resources.label_studio.connection import Connection
from resources.label_studio.project import TITLE_LENGTHS
from resources.label_studio.tasks import TasksApi, is_touched
from resources.label_studio.types import LabelStudioDown, LabelStudioRefused

KEPT = timedelta(hours=1)
"""Time before a withdrawn task is deleted: longer than a page of one image stays open."""

DELETED_AT_ONCE = 100
"""Most deletions per call; each takes the server about 0.1 s."""

_SUFFIX = " (withdrawn)"


class WithdrawalsApi:
    """Requests that withdraw tasks, and that look after the withdrawn ones."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def withdraw(self, sample_ids: Iterable[str]) -> int:
        """Withdraw the tasks of these images, except those that somebody has touched.

        Returns:
            How many were withdrawn.
        """
        found = TasksApi(self._connection).find(sample_ids, whole=True)
        return self.set_aside([task for task in found if not is_touched(task)])

    def set_aside(self, tasks: Sequence[Mapping[str, Any]]) -> int:
        """Move tasks (the API's JSON) to the project of withdrawn tasks.

        Returns:
            How many stay there: one on which somebody saved something meanwhile is moved back.
        """
        if not tasks:
            return 0
        aside = self._find_aside() or self._make_aside()
        ids = [int(task["id"]) for task in tasks]
        moved = {task for task in ids if self._move(task, self._connection.id, aside)}
        return len(moved) - len(moved & self._tend())

    def tend(self, deletions: int = DELETED_AT_ONCE) -> int:
        """Move withdrawn tasks with work on them back; delete those withdrawn an hour ago.

        Called in each run of the queue and in each reconciliation.

        Args:
            deletions: delete at most this many; each takes the server about 0.1 s.

        Returns:
            How many were moved back.
        """
        return len(self._tend(deletions))

    def _tend(self, deletions: int = DELETED_AT_ONCE) -> set[int]:
        """Do what ``tend`` does; returns the ids of the tasks that were moved back."""
        aside = self._find_aside()
        if aside is None:
            return set()
        withdrawn_before = _now() - KEPT
        back, deleted = set(), 0
        for task in list(TasksApi(self._connection.to_project(aside)).all_whole()):
            number = int(task["id"])
            if is_touched(task):
                self._bring_back(number, aside)
                back.add(number)
            elif (
                datetime.fromisoformat(task["updated_at"]) < withdrawn_before
                and deleted < deletions
            ):
                self._delete(number)
                deleted += 1
        return back

    def _bring_back(self, task: int, aside: int) -> None:
        # Annotations first: else they would keep the other project's id, and be deleted with that
        # project.
        project = self._connection.id
        whole = TasksApi(self._connection.to_project(aside)).whole(task)
        for annotation in whole.get("annotations", ()):
            if annotation["project"] != project:
                path = f"/api/annotations/{annotation['id']}/"
                self._connection.http.patch(path, json={"project": project})
        self._move(task, aside, project)

    def _move(self, task: int, source: int, target: int) -> bool:
        """Move a task to another project; False if it does not exist."""
        try:
            # Without the parameter the server looks for the task in the target project.
            self._connection.http.patch(
                f"/api/tasks/{task}/", params={"project": str(source)}, json={"project": target}
            )
        except LabelStudioRefused as error:
            if error.status != 404:
                raise
            return False
        return True

    def _delete(self, task: int) -> None:
        try:
            self._connection.http.delete(f"/api/tasks/{task}/")
        except LabelStudioRefused as error:
            if error.status != 404:  # gone already, or the answer to the first try was lost
                raise
        except LabelStudioDown:
            # An annotation was saved just now: the database keeps a task that an annotation refers
            # to.
            return

    def _find_aside(self) -> int | None:
        """Return the id of the project of withdrawn tasks; ``None`` if there is none."""
        title = _aside_title(self._connection.read_fields("id", "title"))
        return min(self._connection.find_projects(title), default=None)

    def _make_aside(self) -> int:
        project = self._connection.read_fields("id", "title", "label_config")
        title = _aside_title(project)
        body = {
            "title": title,
            "label_config": project["label_config"],
            "description": f"Tasks taken out of project {project['id']}, deleted after an hour. "
            "Kept by imgclf-dagster; label nothing here.",
        }
        self._connection.http.post("/api/projects/", json=body)
        return min(self._connection.find_projects(title))


def _now() -> datetime:
    return datetime.now(UTC)


def _aside_title(project: Mapping[str, Any]) -> str:
    # With the id: two projects may have the same title, or the same first 30 characters.
    suffix = f" {project['id']}{_SUFFIX}"
    return f"{project['title'][: TITLE_LENGTHS[-1] - len(suffix)]}{suffix}"
