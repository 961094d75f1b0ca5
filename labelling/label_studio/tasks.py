"""Conversion of tasks of Label Studio's API to annotation snapshots.

Unknown fields are ignored, because newer servers have more of them; used fields are validated.
Tested with Label Studio 1.23.2 (``GET /api/tasks/?fields=all``; its export and webhooks have the
same fields).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, field_validator

from errors.base import ImgclfError
from labelling.labels.snapshots import AnnotationSnapshot, PredictionOrigin, in_bounds

CONTROL = "label"
"""The control tag of the labelling configuration that holds the labels."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_EMAIL = re.compile(r"(\S+@\S+), \d+$")


class TaskError(ImgclfError, ValueError):
    """A task of the server was not imported by the labelling queue, or cannot be read."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class _Region(_Model):
    from_name: str = ""
    type: str = ""
    value: dict[str, Any] = {}
    meta: dict[str, Any] = {}

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(map(str, self.value.get("choices", ())))

    @property
    def confidence(self) -> float | None:
        """The model's confidence in [0, 1], which ``labelling_queue`` writes beside its pre-label."""
        stated = self.meta.get("confidence")
        if isinstance(stated, int | float):
            return float(stated)
        probabilities = self.meta.get("probs") or {}
        chosen = [probabilities[label] for label in self.choices if label in probabilities]
        return float(min(chosen)) if chosen else None


class _Prediction(_Model):
    id: int
    model_version: str | None = None
    result: tuple[_Region, ...] = ()
    created_at: AwareDatetime | None = None

    def origin(self) -> PredictionOrigin:
        """Return this prediction as the origin of an annotation."""
        regions = _ours(self.result)
        stated = (region.confidence for region in regions)
        sure = [value for value in stated if value is not None]
        return PredictionOrigin(
            model_version=self.model_version or "",
            labels=_choices(regions),
            confidence=min(sure, default=None),
        )


class _Annotation(_Model):
    id: int
    created_at: AwareDatetime
    updated_at: AwareDatetime
    result: tuple[_Region, ...] = ()
    was_cancelled: bool = False
    lead_time: float | None = None
    completed_by: int | None = None
    created_username: str = ""
    parent_prediction: int | None = None
    prediction: _Prediction | None = None

    @field_validator("completed_by", mode="before")
    @classmethod
    def _id_of_user(cls, value: Any) -> Any:
        return value.get("id") if isinstance(value, Mapping) else value

    @field_validator("prediction", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and "id" in value else None

    @field_validator("result", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return () if value is None else value

    @property
    def annotator(self) -> str:
        """``label_studio:`` with the e-mail address, or with the id of a user who shows none."""
        email = _EMAIL.search(self.created_username)
        return f"label_studio:{email[1] if email else self.completed_by or 'unknown'}"

    @property
    def identity(self) -> str:
        """32 hex digits that identify this annotation permanently."""
        # The id alone does not: SQLite reuses it after a deletion, but not in the same microsecond.
        # The server's own ``unique_id`` is missing in its list of tasks. The project is left out,
        # since withdrawn tasks are moved between projects.
        named = f"{self.id}:{self.created_at.astimezone(UTC).isoformat()}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]


class _Task(_Model):
    id: int
    project: int
    updated_at: AwareDatetime
    created_at: AwareDatetime | None = None
    data: dict[str, Any]
    annotations: tuple[_Annotation, ...] = ()
    predictions: tuple[_Prediction, ...] = ()

    @field_validator("updated_at", "created_at")
    @classmethod
    def _in_bounds(cls, moment: datetime | None) -> datetime | None:
        return in_bounds(moment) if moment else None

    @field_validator("predictions", mode="before")
    @classmethod
    def _whole_ones(cls, value: Any) -> Any:
        return [item for item in value or () if isinstance(item, Mapping)]  # the export has ids


@dataclass(frozen=True)
class TaskReading:
    """The present state of a task.

    Attributes:
        task: id of the task.
        project: id of its project.
        sample_id: SHA-256 of the image (hex).
        updated_at: time of the last change, by the server's clock.
        snapshots: one for each of its annotations.
        problems: sentences about unexpected content.
        created_at: distinguishes the task from an earlier one with the same id.
    """

    task: int
    project: int
    sample_id: str
    updated_at: datetime
    snapshots: tuple[AnnotationSnapshot, ...]
    problems: tuple[str, ...]
    created_at: datetime | None = None


def read_task(raw: Mapping[str, Any], shown_version: str = "") -> TaskReading:
    """Read a task and its annotations.

    Args:
        raw: the task as the server gives it, with ``fields=all``.
        shown_version: the model version whose predictions the project shows.

    Raises:
        TaskError: it is not a task, or was not imported by the labelling queue.
    """
    try:
        task = _Task.model_validate(raw)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise TaskError(
            f"task {raw.get('id')} of Label Studio cannot be read ({wrong}); is its version "
            "one that imgclf is tested with (imgclf doctor)?"
        ) from None
    sample_id = str(task.data.get("sample_id", ""))
    if not _SHA256.fullmatch(sample_id):
        raise TaskError(
            f"task {task.id} of project {task.project} has no sample_id (the sha256 of an image), "
            "so it was not imported by the labelling queue and is left out; ingest its image "
            "(imgclf ingest), and the queue imports it"
        )
    snapshots: list[AnnotationSnapshot] = []
    problems = list(filter(None, (_problem(item, task.id) for item in task.annotations)))
    for item in task.annotations:
        try:
            snapshots.append(_snapshot(item, task, sample_id, shown_version))
        except (ValidationError, OverflowError) as error:  # dates and numbers out of range
            flaw = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            problems.append(f"annotation {item.id} of task {task.id} is left out: {flaw}")
    return TaskReading(
        task.id,
        task.project,
        sample_id,
        task.updated_at,
        tuple(snapshots),
        tuple(problems),
        task.created_at,
    )


def _snapshot(
    annotation: _Annotation, task: _Task, sample_id: str, shown_version: str
) -> AnnotationSnapshot:
    labels = () if annotation.was_cancelled else _choices(_ours(annotation.result))
    origin = _origin(annotation, task.predictions, shown_version)
    return AnnotationSnapshot(
        sha256=sample_id,
        labels=labels,
        annotator=annotation.annotator,
        source="label_studio",
        annotated_at=annotation.updated_at,
        annotation_id=str(annotation.id),
        note=_problem(annotation, task.id) or "",
        unique_id=annotation.identity,
        created_at=annotation.created_at,
        lead_time_s=annotation.lead_time,
        prediction=origin.origin() if origin else None,
        skipped=annotation.was_cancelled,
        project=task.project,
        task=task.id,
    )


def _ours(regions: Iterable[_Region]) -> list[_Region]:
    return [region for region in regions if region.from_name == CONTROL]


def _choices(regions: Iterable[_Region]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for region in regions for label in region.choices))


def _problem(annotation: _Annotation, task: int) -> str | None:
    """Return a sentence about unexpected content of an annotation; ``None`` if there is none."""
    if annotation.was_cancelled:
        return None
    # It becomes a snapshot all the same: the label schema decides whether it counts.
    named = f"annotation {annotation.id} of task {task}"
    ours = _ours(annotation.result)
    if not ours and annotation.result:
        others = ", ".join(sorted({repr(region.from_name) for region in annotation.result}))
        return (
            f"{named} was made with the control tag {others} and has none named {CONTROL!r}; give "
            "the project our label config again (imgclf label-studio setup)"
        )
    if len(ours) > 1:
        return f"{named} has {len(ours)} regions of {CONTROL!r}; their labels are taken together"
    if ours and ours[0].type != "choices":
        return f"{named} holds {ours[0].type!r} where choices are expected"
    return None


def _origin(
    annotation: _Annotation, predictions: Sequence[_Prediction], shown_version: str
) -> _Prediction | None:
    """Return the prediction that an annotation started from.

    In this order: the one that the server names (its export does), the one that was copied, the
    newest of the version that the project shows, the newest that existed.
    """
    if annotation.prediction is not None:
        return annotation.prediction
    for prediction in predictions:
        if prediction.id == annotation.parent_prediction:
            return prediction
    before = [
        prediction
        for prediction in predictions
        if prediction.created_at is None or prediction.created_at <= annotation.created_at
    ]
    shown = [item for item in before if shown_version and item.model_version == shown_version]
    return max(shown or before, key=lambda item: item.id, default=None)


def content_hash(snapshot: AnnotationSnapshot) -> str:
    """Return eight hex digits that identify labels, skip and deletion of a snapshot."""
    # Not the prediction: it may become known later, and that is not a new statement.
    return _hash([sorted(snapshot.labels), snapshot.skipped, snapshot.cancelled])


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode("utf-8")).hexdigest()[:8]


DELETED = _hash([[], False, True])
"""``content_hash`` of all snapshots that record a deletion."""
