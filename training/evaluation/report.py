"""What an evaluation finds, as it lies in ``report.json``: numbers a gate can decide on."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.artefact.artefact import Task


class ClassScores(BaseModel):
    """How well one label is recognised; ``support`` counts the images that carry it.

    ``average_precision`` is the area below the precision-recall curve, whatever the threshold;
    ``None`` without an image, and in reports of older versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: float
    recall: float
    f1: float
    support: int
    average_precision: float | None = None


class Scores(BaseModel):
    """One model's numbers on one split.

    ``accuracy`` is the share of images given exactly their labels (multi_label: subset accuracy).
    ``macro_f1`` is the mean F1 of the labels that occur in the split, ``mean_average_precision``
    the mean of their average precisions, ``micro_f1`` the F1 of all decisions together.
    ``intervals`` holds the ends of 95% intervals by the names of these scores
    (``training.evaluation.intervals``). The last three are not in reports of older versions. ``log_loss`` is in nats: the negative log probability
    of the true label (single_label), or the mean binary cross-entropy over all images and
    labels (multi_label). ``calibration_error`` is explained at ``training.evaluation.metrics``;
    ``calibration_chance`` is what a perfectly calibrated model, as sure as this one, stays below
    19 times of 20 on as many images.

    ``confusion_matrix`` for single_label: a row a true label, a column a predicted one, both in
    the report's order; answers outside these labels are in no column. For multi_label: a row a
    label, of [rightly absent, wrongly predicted, missed, rightly given].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    calibration_chance: float
    per_class: dict[str, ClassScores]
    confusion_matrix: list[list[int]]
    micro_f1: float | None = None
    mean_average_precision: float | None = None
    intervals: dict[str, tuple[float, float]] = {}


class CrossValidation(Scores):
    """Scores of a probe on its training and validation images, each in a fold that was held out.

    The models of the folds were fitted on fewer images than the final one, with the regularisation
    that was the best over all folds.
    """

    folds: int
    images: int


class ModelScores(Scores):
    """The numbers of a named model."""

    model_version: str
    digest: str


class PairedCounts(BaseModel):
    """Of the test images that carry one label: how many only the candidate, and how many only
    the champion, recognised as carrying it. All an exact test of the difference needs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    only_candidate: int = Field(ge=0)
    only_champion: int = Field(ge=0)


class OperatingPoint(BaseModel):
    """Scores of one of two classes if it is predicted from a probability on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float
    precision: float
    recall: float
    false_positive_rate: float


class BinaryScores(BaseModel):
    """Numbers of a model of two classes.

    Attributes:
        positive: the class with fewer test images, usually the one that is looked for.
        roc_auc: area below the ROC curve; the same for both classes.
        points: for some thresholds of ``positive``, the lowest first. The model predicts the more
            probable class, which is a threshold of 0.5.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: str
    roc_auc: float
    points: list[OperatingPoint]


class EvaluationReport(ModelScores):
    """A candidate's evaluation on the test split, beside the champion's on the same images.

    Attributes:
        labels: the candidate's labels in its order, then others the data set holds.
        majority_baseline_accuracy: best accuracy of always answering the same labels.
        val: numbers on the validation split, for information: temperature and thresholds were
            fitted there; ``None`` for a probe, whose head is fitted there.
        champion: numbers of the champion; labels it does not know count as wrong.
        mcnemar_p: two-sided exact McNemar test that both are equally often right.
        paired: ``PairedCounts`` by label; empty without a champion.
        images_per_second: of the candidate, decoding included.
        set_aside: keys of images that could not be read, and why; they are in no number.
        thresholds: the candidate's, by label (multi_label).
        binary: of a single_label data set of two classes with test images of both.
    """

    dataset_version: str
    task: Task
    labels: list[str]
    n_test: int
    n_val: int
    majority_baseline_accuracy: float
    val: Scores | None
    champion: ModelScores | None
    mcnemar_p: float | None
    paired: dict[str, PairedCounts]
    images_per_second: float
    set_aside: dict[str, str] = {}
    thresholds: dict[str, float] = {}
    binary: BinaryScores | None = None

    @property
    def accuracy_name(self) -> str:
        """What people call ``accuracy`` for this task."""
        return "subset accuracy" if self.task == "multi_label" else "accuracy"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        models: list[ModelScores] = [self, *([self.champion] if self.champion else [])]
        for scores in models:
            if set(scores.per_class) != set(self.labels):
                raise ValueError(f"per_class of {scores.model_version} must name every label")
        if (self.champion is None) != (self.mcnemar_p is None):
            raise ValueError("champion and mcnemar_p go together")
        if set(self.paired) != (set(self.labels) if self.champion else set()):
            raise ValueError("paired must name every label if there is a champion, else none")
        return self
