"""Static predictions (pre-labels) of a Label Studio project: checked, versioned, read back."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from labelling.label_studio.config import CONTROL
from resources.label_studio.connection import Connection
from resources.label_studio.prediction_check import PredictionCheck
from resources.label_studio.resending import send_until_stored
from resources.label_studio.session import WAITS_S, WRITE_TIMEOUT_S
from resources.label_studio.tasks import TasksApi, batched, is_labelled, is_touched
from resources.label_studio.types import ImportProgress, LabelStudioRefused, Prelabel
from resources.label_studio.withdrawals import KEPT

PREDICTIONS_CHUNK = 2_000
"""Predictions per request. With each request the server counts all tasks of the project again, so
few large requests are faster."""

DROPPED_AT_ONCE = 500
"""Most deletions per call, about 50 ms each; as many as a batch has tasks
(``labelling.batch_max``)."""


class PredictionsApi:
    """Requests about the predictions of the project's tasks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, prelabels: Mapping[str, Prelabel], *, progress: ImportProgress | None = None
    ) -> int:
        """Add predictions, by ``sample_id``, to tasks that nobody has labelled.

        Tasks that have a prediction of the same model version are not changed.

        Args:
            prelabels: predictions by ``sample_id``.
            progress: called after each chunk with the number of images in it.

        Returns:
            How many were added.

        Raises:
            LabelStudioRefused: a prediction is invalid, or predictions are missing after the server
                accepted them.
        """
        if not prelabels:
            return 0
        check, added = PredictionCheck(self._connection), 0
        for sample_ids in batched(prelabels, PREDICTIONS_CHUNK):
            chunk = {sample_id: prelabels[sample_id] for sample_id in sample_ids}
            added += self._add_chunk(check, chunk)
            if progress is not None:
                progress(len(chunk))
        return added

    def show_version(self, version: str) -> None:
        """Show annotators the predictions of ``version`` and order tasks by their scores.

        Raises:
            LabelStudioRefused: the server has no predictions of this version, or shows others.
        """
        counts, project = self.count_by_version(), self._connection.id
        if not counts.get(version):
            raise LabelStudioRefused(
                f"Label Studio has no predictions of {version!r} in project {project} (it has "
                f"{', '.join(counts) or 'none'}); add them first"
            )
        body = {"model_version": version, "show_collab_predictions": True}
        self._connection.http.patch(f"{self._connection.path}/", json=body)
        shown = self._connection.read_fields("model_version")["model_version"]
        if shown != version:
            raise LabelStudioRefused(
                f"project {project} of Label Studio shows predictions of {shown!r} after it was "
                f"set to show {version!r}; does somebody else change it? Try again"
            )

    def count_by_version(self) -> dict[str, int]:
        """Count the project's predictions by model version."""
        path = f"{self._connection.path}/model-versions/"
        with self._connection.project_missing():
            counts = self._connection.http.get(path).json()
        return {str(version): int(count) for version, count in counts.items()}

    def drop_superseded(self, version: str, shown_since: datetime) -> int:
        """Delete predictions of other model versions on untouched tasks.

        In the hour after ``shown_since`` it deletes nothing: a page that was opened before refers
        to the prediction that it started from, and could not be saved without it.

        Args:
            version: the model version whose predictions stay.
            shown_since: since when that version is shown, with a time zone.

        Returns:
            How many were deleted, at most ``DROPPED_AT_ONCE``.
        """
        # One by one: deleting a version as a whole is one transaction, in which the server counts
        # again for each task; for 10,000 it would block the annotators' saves for longer than
        # SQLite waits.
        if datetime.now(UTC) - shown_since < KEPT:
            return 0
        counts = self.count_by_version()
        if not any(count for older, count in counts.items() if older != version):
            return 0
        old = (
            prediction["id"]
            for task in TasksApi(self._connection).unannotated_whole()
            if not is_touched(task)
            for prediction in task["predictions"]
            if prediction["model_version"] != version
        )
        dropped = 0
        for number in islice(old, DROPPED_AT_ONCE):
            with suppress(LabelStudioRefused):  # gone already
                self._delete(number)
            dropped += 1
        return dropped

    def _add_chunk(self, check: PredictionCheck, chunk: Mapping[str, Prelabel]) -> int:
        """Add the predictions that tasks lack; returns how many were added."""
        counts = self.count_by_version()
        # Reading the predictions of each task takes long, and a new version has none.
        whole = any(counts.get(one.model_version) for one in chunk.values())
        missing = self._missing(check, chunk, whole=whole)
        added = len(missing)
        sent = missing

        def send(tasks: dict[int, str]) -> bool:
            nonlocal sent
            sent = tasks
            self._send(check, chunk, tasks)
            return False  # the answer does not name what was stored

        def find_missing() -> dict[int, str]:
            if _grown(counts, self.count_by_version(), sent, chunk):
                return {}
            return self._missing(check, chunk, whole=True)

        left = send_until_stored(missing, send, find_missing, WAITS_S) if missing else None
        if left:
            raise LabelStudioRefused(
                f"Label Studio took the predictions for {added} tasks of project "
                f"{self._connection.id}, but {len(left)} are not there, of "
                f"{', '.join([*left.values()][:3])}; does somebody delete them? Try again"
            )
        return added

    def _send(
        self, check: PredictionCheck, chunk: Mapping[str, Prelabel], tasks: Mapping[int, str]
    ) -> None:
        """Send the predictions of the tasks (id to ``sample_id``)."""
        body = [
            {"task": task, **check.convert(sample_id, chunk[sample_id])}
            for task, sample_id in tasks.items()
        ]
        path = f"{self._connection.path}/import/predictions"
        self._connection.http.post(path, json=body, timeout=WRITE_TIMEOUT_S)

    def _missing(
        self, check: PredictionCheck, chunk: Mapping[str, Prelabel], *, whole: bool
    ) -> dict[int, str]:
        """Find the tasks without annotation and without a prediction of the version in ``chunk``.

        Predictions from before a class was renamed have labels that the page lacks: they are deleted
        and count as missing, as long as nobody works on the task. Duplicates are deleted, too.

        Returns:
            ``sample_id`` by task id.
        """
        missing: dict[int, str] = {}
        for task in TasksApi(self._connection).find(chunk, whole=whole):
            sample_id = task["data"]["sample_id"]
            version = chunk[sample_id].model_version
            same = [one for one in task.get("predictions", ()) if one["model_version"] == version]
            former = [one for one in same if not _labels_of(one) <= check.labels]
            if former and not is_touched(task):  # else somebody's draft started from it
                for one in former:
                    self._delete(one["id"])
                    same.remove(one)
            if not same and not is_labelled(task):
                missing[int(task["id"])] = sample_id
            for twin in same[1:]:  # from a request that was repeated while its first try still ran
                self._delete(twin["id"])
        return missing

    def _delete(self, prediction: int) -> None:
        self._connection.http.delete(f"/api/predictions/{prediction}/")


def _grown(
    before: Mapping[str, int],
    after: Mapping[str, int],
    added: Mapping[int, str],
    chunk: Mapping[str, Prelabel],
) -> bool:
    """Whether each version's count grew by exactly the number of added predictions."""
    grown = Counter(chunk[sample_id].model_version for sample_id in added.values())
    return all(
        after.get(version, 0) - before.get(version, 0) == count for version, count in grown.items()
    )


def _labels_of(prediction: Mapping[str, Any]) -> set[str]:
    """Return the labels of a prediction."""
    regions = (one for one in prediction.get("result") or () if one.get("from_name") == CONTROL)
    return {str(label) for one in regions for label in one.get("value", {}).get("choices", ())}
