"""Static predictions (pre-labels) of a Label Studio project: checked, versioned, read back."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx

from labelling.label_studio.config import CONTROL, OBJECT, parse_label_config
from resources.label_studio.projects import project_missing
from resources.label_studio.session import WAITS_S
from resources.label_studio.tasks import batched, find_tasks, is_labelled, is_touched, open_tasks
from resources.label_studio.types import LabelStudioDown, LabelStudioRefused, Prelabel
from resources.label_studio.withdrawal import KEPT

if TYPE_CHECKING:
    from label_studio_sdk.label_interface.interface import LabelInterface

PREDICTIONS_CHUNK = 2_000
"""Predictions per request. With each request the server counts all tasks of the project again, so
few large requests are faster."""

DROPPED_AT_ONCE = 500
"""Most deletions per call, about 50 ms each; as many as a batch has tasks
(``labelling.batch_max``)."""

WRITE_TIMEOUT_S = 120.0


class PredictionCheck:
    """Checks predictions against the labelling page of a project; the server checks nothing."""

    def __init__(self, session: httpx.Client, project: int) -> None:
        with project_missing(session, project):
            row = session.get(
                f"/api/projects/{project}/", params={"include": "label_config"}
            ).json()
        self._page = row["label_config"]
        page = parse_label_config(self._page)
        self._choice, self.labels = page.choice, frozenset(page.names)
        self._known: LabelInterface | None = None

    def prediction(self, sample_id: str, prelabel: Prelabel) -> dict[str, Any]:
        """Convert a pre-label to Label Studio's JSON.

        Raises:
            LabelStudioRefused: it does not fit the page; the message names the image and the error.
        """
        made = _prediction(prelabel, self._choice)
        problems = self._interface().validate_prediction(made, return_errors=True)
        if len(set(prelabel.labels)) != (1 if self._choice == "single" else len(prelabel.labels)):
            problems = [*problems, f"{len(prelabel.labels)} labels for a {self._choice} choice"]
        if not prelabel.labels or not prelabel.model_version:
            problems = [*problems, "no label or no model version"]
        if problems:
            raise LabelStudioRefused(
                f"the prediction of {prelabel.model_version or 'no model'} for the image "
                f"{sample_id} does not fit the project's page: {'; '.join(map(str, problems))}. "
                "Bring the page up to date with the label schema (`imgclf up --label-studio`)"
            )
        return made

    def _interface(self) -> "LabelInterface":
        if self._known is None:
            from label_studio_sdk.label_interface.interface import LabelInterface

            self._known = LabelInterface(self._page)
        return self._known


def prelabel(
    session: httpx.Client,
    project: int,
    prelabels: Mapping[str, Prelabel],
    progress: Callable[[int], None],
) -> int:
    """Add predictions to tasks without labels; see :meth:`LabelStudio.prelabel`.

    Args:
        session: open connection to the server.
        project: the project's id.
        prelabels: predictions by ``sample_id``.
        progress: called after each chunk with the number of images in it.

    Returns:
        How many predictions were added.
    """
    if not prelabels:
        return 0
    check, added = PredictionCheck(session, project), 0
    for sample_ids in batched(prelabels, PREDICTIONS_CHUNK):
        chunk = {sample_id: prelabels[sample_id] for sample_id in sample_ids}
        added += _add(session, project, check, chunk)
        progress(len(chunk))
    return added


def show_model_version(session: httpx.Client, project: int, version: str) -> None:
    """Show annotators the predictions of one model version.

    Args:
        session: open connection to the server.
        project: the project's id.
        version: the model version.

    Raises:
        LabelStudioRefused: the server has no predictions of it, or shows others.
    """
    counts = model_versions(session, project)
    path = f"/api/projects/{project}/"
    if not counts.get(version):
        raise LabelStudioRefused(
            f"Label Studio has no predictions of {version!r} in project {project} (it has "
            f"{', '.join(counts) or 'none'}); add them first"
        )
    session.patch(path, json={"model_version": version, "show_collab_predictions": True})
    shown = session.get(path, params={"include": "model_version"}).json()["model_version"]
    if shown != version:
        raise LabelStudioRefused(
            f"project {project} of Label Studio shows predictions of {shown!r} after it was told "
            f"to show {version!r}; does somebody else choose it? Try again"
        )


def model_versions(session: httpx.Client, project: int) -> dict[str, int]:
    """Count the project's predictions by model version."""
    with project_missing(session, project):
        counts = session.get(f"/api/projects/{project}/model-versions/").json()
    return {str(version): int(count) for version, count in counts.items()}


def drop_superseded(
    session: httpx.Client, project: int, version: str, shown_since: datetime
) -> int:
    """Delete predictions of other model versions; see :meth:`LabelStudio.drop_superseded`.

    Args:
        session: open connection to the server.
        project: the project's id.
        version: the model version whose predictions stay.
        shown_since: since when that version is shown, with a time zone.

    Returns:
        How many were deleted, at most 500.
    """
    # One by one: deleting a version as a whole is one transaction, in which the server counts
    # again for each task; for 10,000 it would block the annotators' saves for longer than SQLite
    # waits.
    if datetime.now(UTC) - shown_since < KEPT:
        return 0
    counts = model_versions(session, project)
    if not any(count for older, count in counts.items() if older != version):
        return 0
    old = (
        prediction["id"]
        for task in open_tasks(session, project)
        if not is_touched(task)
        for prediction in task["predictions"]
        if prediction["model_version"] != version
    )
    dropped = 0
    for number in islice(old, DROPPED_AT_ONCE):
        with suppress(LabelStudioRefused):  # gone already
            session.delete(f"/api/predictions/{number}/")
        dropped += 1
    return dropped


def _prediction(prelabel: Prelabel, choice: str) -> dict[str, Any]:
    probabilities = {name: round(float(p), 6) for name, p in prelabel.probabilities.items()}
    return {
        "model_version": prelabel.model_version,
        "score": prelabel.priority,
        "result": [
            {
                "from_name": CONTROL,
                "to_name": OBJECT,
                "type": "choices",
                "value": {"choices": list(prelabel.labels)},
                "meta": {
                    "probs": probabilities,
                    "confidence": _confidence(probabilities.values(), choice),
                },
            }
        ],
    }


def _confidence(probabilities: Iterable[float], choice: str) -> float:
    """Return the highest probability; for multiple choices, the least ``|2p - 1|``; in [0, 1]."""
    if choice == "single":
        return max(probabilities, default=0.0)
    return round(min((abs(2 * p - 1) for p in probabilities), default=0.0), 6)


def _add(
    session: httpx.Client, project: int, check: PredictionCheck, chunk: Mapping[str, Prelabel]
) -> int:
    """Add missing predictions; checks again after each failure, which may have added them.

    Returns:
        How many were added.
    """
    counts = model_versions(session, project)
    # Reading the predictions of each task takes long, and a new version has none.
    whole = any(counts.get(one.model_version) for one in chunk.values())
    missing = _missing(session, project, check, chunk, whole=whole)
    wanted = len(missing)
    for wait in (*WAITS_S, None):
        if not missing:
            return wanted
        body = [
            {"task": task, **check.prediction(sample_id, chunk[sample_id])}
            for task, sample_id in missing.items()
        ]
        try:
            session.post(
                f"/api/projects/{project}/import/predictions", json=body, timeout=WRITE_TIMEOUT_S
            )
        except LabelStudioDown:
            if wait is None:
                raise
            time.sleep(wait)
        if _grown(counts, model_versions(session, project), missing, chunk):
            return wanted
        missing = _missing(session, project, check, chunk, whole=True)
    if missing:
        raise LabelStudioRefused(
            f"Label Studio took the predictions for {wanted} tasks of project {project}, but "
            f"{len(missing)} are not there, of {', '.join(list(missing.values())[:3])}; does "
            "somebody delete them? Try again"
        )
    return wanted


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


def _missing(
    session: httpx.Client,
    project: int,
    check: PredictionCheck,
    chunk: Mapping[str, Prelabel],
    *,
    whole: bool,
) -> dict[int, str]:
    """Return ``sample_id`` by task id for tasks without annotation and without this version.

    Predictions from before a class was renamed have labels that the page lacks: they are deleted
    and count as missing, as long as nobody works on the task. Duplicates are deleted, too.
    """
    missing: dict[int, str] = {}
    for task in find_tasks(session, project, chunk, whole=whole):
        sample_id = task["data"]["sample_id"]
        version = chunk[sample_id].model_version
        same = [one for one in task.get("predictions", ()) if one["model_version"] == version]
        former = [one for one in same if not _chosen(one) <= check.labels]
        if former and not is_touched(task):  # else somebody's draft started from it
            for one in former:
                session.delete(f"/api/predictions/{one['id']}/")
                same.remove(one)
        if not same and not is_labelled(task):
            missing[int(task["id"])] = sample_id
        for twin in same[1:]:  # from a request that was repeated while its first try still ran
            session.delete(f"/api/predictions/{twin['id']}/")
    return missing


def _chosen(prediction: Mapping[str, Any]) -> set[str]:
    """Return the labels of a prediction."""
    regions = (one for one in prediction.get("result") or () if one.get("from_name") == CONTROL)
    return {str(label) for one in regions for label in one.get("value", {}).get("choices", ())}
