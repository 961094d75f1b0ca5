"""Importing new tasks into a Label Studio project, one per image.

The server accepts the same task repeatedly, so existing tasks are looked up by the image's hash
before and after each request. A lost answer is no failure: the next look-up finds the tasks. A
request that was repeated while its first try still ran leaves duplicates, which are withdrawn.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from resources.label_studio.connection import Connection
from resources.label_studio.prediction_check import PredictionCheck
from resources.label_studio.resending import send_until_stored
from resources.label_studio.session import WRITE_TIMEOUT_S
from resources.label_studio.tasks import TasksApi, batched, is_touched
from resources.label_studio.types import (
    ImportProgress,
    ImportResult,
    LabelStudioRefused,
    NewTask,
)
from resources.label_studio.withdrawals import WithdrawalsApi

CHUNK = 500
WAITS_S = (1.0, 2.0, 4.0)
"""Seconds before the next look-up after a failure: a slow server may still be working."""

ASYNC_POLL_S = 2.0

Found = Mapping[str, Sequence[Mapping[str, Any]]]


class ImportsApi:
    """Requests that import tasks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def import_missing(
        self, tasks: Iterable[NewTask], *, progress: ImportProgress | None = None
    ) -> ImportResult:
        """Import the tasks whose ``sample_id`` the project does not have.

        ``tasks`` is read 500 at a time, so it may be very long. An import that failed or was
        killed is completed by repeating it.

        Args:
            tasks: to import.
            progress: called after each chunk with the number of tasks in it.

        Raises:
            LabelStudioRefused: a prediction is invalid (the message names the image and the error),
                or tasks are missing after the server accepted them.
        """
        check = PredictionCheck(self._connection)
        new = known = 0
        for chunk in batched(tasks, CHUNK):
            named = {task.sample_id: task for task in chunk}
            made = self._import_chunk(check, named)
            new, known = new + made, known + len(chunk) - made
            if progress is not None:
                progress(len(chunk))
        return ImportResult(new=new, known=known)

    def withdraw_duplicates(self, sample_ids: Iterable[str]) -> int:
        """Withdraw duplicate tasks of images: keep those with work on them, else the first.

        Returns:
            How many tasks were withdrawn.
        """
        surplus: list[Mapping[str, Any]] = []
        for tasks in self._find(sample_ids, whole=True).values():
            untouched = [task for task in tasks if not is_touched(task)]
            surplus += untouched[1:] if len(untouched) == len(tasks) else untouched
        return WithdrawalsApi(self._connection).set_aside(surplus)

    def _import_chunk(self, check: PredictionCheck, named: Mapping[str, NewTask]) -> int:
        """Import the missing tasks of a chunk, so that each image has one.

        Args:
            check: converts predictions.
            named: the tasks by ``sample_id``.

        Returns:
            How many were imported.
        """
        found: Found = {}

        def find_missing() -> list[str]:
            nonlocal found
            found = self._find(named)
            return [sample_id for sample_id in named if sample_id not in found]

        def send(sample_ids: list[str]) -> bool:
            ids = self._send([_task(named[sample_id], check) for sample_id in sample_ids])
            new = TasksApi(self._connection).with_ids(ids)
            return {task["data"]["sample_id"] for task in new}.issuperset(sample_ids)

        missing = find_missing()
        left = send_until_stored(missing, send, find_missing, WAITS_S) if missing else None
        if left:
            raise LabelStudioRefused(
                f"Label Studio took {len(missing)} tasks for project {self._connection.id}, but "
                f"{len(left)} are not there, of {', '.join(left[:3])}; does somebody delete them? "
                "Import again"
            )
        self.withdraw_duplicates(image for image, tasks in found.items() if len(tasks) > 1)
        return len(missing)

    def _send(self, body: Sequence[Mapping[str, Any]]) -> list[int]:
        """Send tasks; returns their ids if the server reports them, else nothing."""
        path = f"{self._connection.path}/import"
        with self._connection.project_missing():
            answer = self._connection.http.post(
                path, params={"return_task_ids": "true"}, json=body, timeout=WRITE_TIMEOUT_S
            ).json()
        if "import" in answer:
            self._wait_for([task["data"]["sample_id"] for task in body])
        return list(answer.get("task_ids", ()))

    def _wait_for(self, sample_ids: Sequence[str]) -> None:
        """Wait until the project has these images, or for ``WRITE_TIMEOUT_S``."""
        # The Enterprise edition imports asynchronously: without waiting, all would be sent again.
        retrying = Retrying(
            retry=retry_if_result(lambda found: len(found) < len(sample_ids)),
            stop=stop_after_delay(WRITE_TIMEOUT_S),
            wait=wait_fixed(ASYNC_POLL_S),
            retry_error_callback=lambda state: None,
        )
        retrying(self._find, sample_ids)

    def _find(self, sample_ids: Iterable[str], *, whole: bool = False) -> Found:
        """Find the tasks of these images, by image."""
        found = defaultdict(list)
        for task in TasksApi(self._connection).find(sample_ids, whole=whole):
            found[str(task["data"]["sample_id"])].append(task)
        return found


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
        made["predictions"] = [check.convert(task.sample_id, task.prediction)]
    return made
