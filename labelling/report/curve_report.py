"""The learning-curve job's result, as stored in ``learning_curve.json``."""

from pydantic import BaseModel, ConfigDict

from labelling.labels.schema import Task
from labelling.report.curve_law import Estimate, Points

REPORT_FILE = "learning_curve.json"
PICTURE_FILE = "learning_curve.png"

CURVE_VERSION = "2"
"""Part of the job's name: raise it when the same data and model would give another report."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Forecast(_Frozen):
    """The score that the curve gives at so many labels; past and future."""

    labels: int
    score: Estimate


class ClassCurve(_Frozen):
    """What more labels of one class would bring, all others staying as they are.

    Attributes:
        labels: images of the class in the training split.
        f1: of the class now, 0…1.
        more: how many more ``gain`` is about.
        gain: change of the class's F1; ``None`` if nobody can tell, ``why_not`` says why.
    """

    label: str
    labels: int
    f1: float
    more: int
    gain: Estimate | None
    why_not: str
    points: Points | None


class Backtest(_Frozen):
    """A forecast that can be checked: from half of the measured labels, the score at all of them."""

    labels: int
    foretold: Estimate
    score: float


class Saved(_Frozen):
    """How many random labels the present score would have needed.

    Attributes:
        chosen: training images that the queue chose with a reason.
        random: training images that nobody chose: ingested with a label, or drawn by chance.
        points: scores of subsets of the random ones alone.
        needed: labels in random order for the score that all images reach together; ``None``
            if that is not known, ``why_not`` says why.
    """

    chosen: int
    random: int
    points: Points | None
    needed: Estimate | None
    why_not: str


class CurveReport(_Frozen):
    """How the score grew with the labels, and how it will.

    Attributes:
        score_name: what ``score`` and ``points`` are: ``accuracy`` (single_label) or ``macro-F1``.
        labels: images in the training split.
        measured: the images among them that were used: all, or a random sample of very many.
            ``score``, ``points``, ``backtest`` and the classes' ``f1`` are of these.
        held: images of the validation and test splits, on which scores are taken.
        score: of the refitted probe on all ``measured`` images, 0…1.
        more, gain, why_not: as in ``ClassCurve``, of images of any class in the present mixture.
        forecast: the curve for a picture, from the fewest labels to the most.
        classes: the worst first; ``not_shown`` names the others.
        notes: what one must know to read the numbers, as sentences.
    """

    dataset_version: str
    model_version: str
    task: Task
    score_name: str
    labels: int
    measured: int
    held: int
    score: float
    points: Points
    more: int
    gain: Estimate | None
    why_not: str
    forecast: list[Forecast]
    backtest: Backtest | None
    classes: list[ClassCurve]
    not_shown: list[str]
    saved: Saved
    notes: list[str]
