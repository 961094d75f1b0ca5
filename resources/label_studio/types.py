"""What the port to Label Studio takes, gives and raises."""

from dataclasses import dataclass, field
from datetime import datetime

from errors.base import ImgclfError


class LabelStudioError(ImgclfError, RuntimeError):
    """Label Studio did not do what was asked; the message names the server and the remedy.

    ``status`` is HTTP's; 0 if there was no answer, or nothing was sent.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class LabelStudioDown(LabelStudioError):  # noqa: N818 - a state, as its callers say it
    """No answer, or none in time, or an error of the server's own. Trying later may help."""


class TokenRefused(LabelStudioError):  # noqa: N818 - a state, as its callers say it
    """The token is wrong, has expired, or its kind is switched off."""


class ProjectMissing(LabelStudioError):  # noqa: N818 - a state, as its callers say it
    """The project is not there: never made, deleted, or out of this token's sight."""


class LabelStudioRefused(LabelStudioError):  # noqa: N818 - a state, as its callers say it
    """The server takes the request for wrong. Repeating it does not help."""


@dataclass(frozen=True)
class User:
    """Whose token it is."""

    id: int
    email: str


@dataclass(frozen=True)
class Project:
    """A project as it is now.

    Attributes:
        labels: names of the classes, in order; empty if the project's page is not one of ours.
        choice: ``single`` or ``multiple``.
        model_version: whose predictions annotators see; empty: nobody's.
        tasks: how many there are.
        labelled: tasks that are done (labelled or skipped).
        annotations: of all annotators, skips included.
        predictions: of all versions.
        page: what annotators see, as XML.
        created_at: by the server's clock. A server that was wiped gives the same ``id`` again, but
            not at the same moment.
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
class Prelabel:
    """What a model says of an image, for the annotator to accept or to correct.

    Attributes:
        model_version: the model's.
        labels: what is ticked beforehand; at least one, or nothing is shown.
        probabilities: by label, in [0, 1].
        priority: in [0, 1]; the lower, the sooner the task is served.
    """

    model_version: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]
    priority: float


@dataclass(frozen=True)
class NewTask:
    """One image for the annotators.

    Attributes:
        sample_id: sha256 of the image; the identity of the task.
        image: URL that the browser loads (``storage.image_url``).
        uri: key in the store or ``s3://`` URI, for whoever reads the image itself.
        why: one sentence for the annotator.
        batch: id of the batch that it was chosen in.
        reasons: score by reason.
        suggested: labels that somebody gave in a correction.
        prediction: shown from the start.
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
    """A task that Label Studio has. ``id`` may be given to another task after a deletion.

    ``annotations`` stand on it, skips not counted: of a task of several annotators there may be
    some before it is labelled.
    """

    id: int
    sample_id: str
    is_labeled: bool
    updated_at: datetime
    created_at: datetime
    annotations: int = 0


@dataclass(frozen=True)
class ImportResult:
    """How many tasks an import made, and how many were there already (or twice in the import)."""

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
    """An ML backend as the server has it; ``error`` is what its last connection said."""

    id: int
    url: str
    title: str
    model_version: str
    connected: bool
    error: str
