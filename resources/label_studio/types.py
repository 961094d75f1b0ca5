"""Types and errors of the client of Label Studio."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from errors.base import ImgclfError

ImportProgress = Callable[[int], None]
"""Called with the number of items done since the last call."""

_BLOCKED = "reserved network address"


class LabelStudioError(ImgclfError, RuntimeError):
    """A request to Label Studio failed; the message names the server and the remedy.

    Attributes:
        status: HTTP status; 0 if there was no answer, or nothing was sent.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class LabelStudioDown(LabelStudioError):
    """No answer, no answer in time, or a server error. A later retry may help."""


class TokenRefused(LabelStudioError):
    """The token is wrong, has expired, or its kind is switched off."""


class ProjectMissing(LabelStudioError):
    """The project does not exist, or is not visible to this token."""


class LabelStudioRefused(LabelStudioError):
    """The server rejects the request. Repeating it does not help."""


def is_blocked_address(message: str) -> bool:
    """Whether a message of the server means that it refuses to connect to an address.

    Since 1.23.1 it refuses addresses of private networks by default.
    """
    return _BLOCKED in message


@dataclass(frozen=True)
class User:
    """The user of a token."""

    id: int
    email: str


@dataclass(frozen=True)
class Project:
    """A project's current state.

    Attributes:
        id: the project's.
        title: the project's.
        labels: names of the classes, in order; empty if the project's page is not one of ours.
        choice: ``single`` or ``multiple``.
        model_version: version whose predictions annotators see; "" for none.
        sampling: the server's name of the order in which tasks are served.
        shows_predictions: whether annotators see predictions.
        tasks: number of tasks.
        labelled: number of finished tasks (labelled or skipped).
        annotations: number by all annotators, skips included.
        predictions: number of all versions.
        created_at: by the server's clock. A server that was wiped may give the same ``id`` again,
            but with another time.
        page: the labelling page, as XML.
    """

    id: int
    title: str
    labels: tuple[str, ...]
    choice: str
    model_version: str
    sampling: str
    shows_predictions: bool
    tasks: int
    labelled: int
    annotations: int
    predictions: int
    created_at: datetime
    page: str = ""


@dataclass(frozen=True)
class Overlap:
    """The number of annotators per task.

    Attributes:
        annotators: number of people who label each task of the share; one labels the others.
        percent: the share of all tasks, 1…100; no effect with one annotator.
    """

    annotators: int = 1
    percent: int = 100

    def __str__(self) -> str:
        """Return text such as ``2 annotators for 20% of the tasks``."""
        if self.annotators == 1:
            return "1 annotator per task"
        return f"{self.annotators} annotators for {self.percent}% of the tasks"

    def same_as(self, other: "Overlap") -> bool:
        """Whether both have the same effect."""
        return self == other or self.annotators == other.annotators == 1


@dataclass(frozen=True)
class Prelabel:
    """A model's prediction for an image, for the annotator to accept or to correct.

    Attributes:
        model_version: the model's.
        labels: preselected labels; at least one, or nothing is shown.
        probabilities: by label, in [0, 1].
        priority: in [0, 1]; tasks with lower values are served first.
    """

    model_version: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]
    priority: float


@dataclass(frozen=True)
class NewTask:
    """A task to import: one image.

    Attributes:
        sample_id: SHA-256 of the image (hex); identifies the task.
        image: URL that the browser loads (``labelling.label_studio.image_urls``).
        uri: key in the store or ``s3://`` URI, for programs that read the image.
        why: the reason of its choice, one sentence for the annotator.
        batch: id of the batch that it was chosen in.
        reasons: score by reason.
        suggested: labels from a user's correction.
        prediction: shown from the start; ``None`` for none.
    """

    sample_id: str
    image: str
    uri: str
    why: str
    batch: str
    reasons: dict[str, float] = field(default_factory=dict)
    suggested: tuple[str, ...] = ()
    prediction: Prelabel | None = None


@dataclass(frozen=True)
class TaskRef:
    """A task that Label Studio has.

    Attributes:
        id: the task's; may be reused after a deletion.
        sample_id: SHA-256 of the image (hex).
        is_labeled: whether the task is finished.
        updated_at: time of the last change.
        created_at: time of the import.
        annotations: number of annotations without skips; a task for several annotators may have
            some before it is finished.
    """

    id: int
    sample_id: str
    is_labeled: bool
    updated_at: datetime
    created_at: datetime
    annotations: int = 0


@dataclass(frozen=True)
class ImportResult:
    """Numbers of tasks that an import made, and that existed before (or twice in the import)."""

    new: int
    known: int


@dataclass(frozen=True)
class Webhook:
    """A webhook as the server has it."""

    id: int
    url: str
    project: int | None
    is_active: bool


@dataclass(frozen=True)
class Backend:
    """An ML backend as the server has it; ``error`` is the message of its last connection."""

    id: int
    url: str
    title: str
    model_version: str
    connected: bool
    error: str
