"""The pool of unlabelled images, and a choice from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from labelling.labels.schema import Task

TRAIN = "train"


@dataclass(frozen=True, eq=False)
class Pool:
    """Unlabelled images that are not in the labelling queue, and what is known of them.

    Attributes:
        sha256: str [n], the images.
        split: str [n], ``train``, ``val`` or ``test``.
        group: str [n], the near-duplicate group.
        probabilities: float32 [n, k] of the production model (the newest, if none is in
            production), calibrated; ``None`` without a model. A row that is not finite is not
            known.
        labels: k, the columns of the probabilities.
        task: ``single_label`` or ``multi_label``.
        conflicts: description of the label conflict, by sha256; of any image, labelled or not.
        corrections: labels given by users of the predictor, by sha256; of any image.
        labelled_groups: near-duplicate groups that contain a labelled image.
        thresholds: probability from which on a label applies (multi_label); 0.5 if not given.
        splits: split of images outside the pool, by sha256; corrections of validation and test
            images are ignored.
    """

    sha256: np.ndarray
    split: np.ndarray
    group: np.ndarray
    probabilities: np.ndarray | None
    labels: tuple[str, ...]
    task: Task
    conflicts: Mapping[str, str] = field(default_factory=dict)
    corrections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labelled_groups: frozenset[str] = frozenset()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, k = len(self.sha256), len(self.labels)
        expected = {
            "split": (n,),
            "group": (n,),
            "probabilities": (n, k),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(
                    f"{name} has the shape {array.shape}; of {n} images and {k} labels it is {shape}"
                )

    def __len__(self) -> int:
        return len(self.sha256)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Which images have probabilities: bool [n]."""
        return _known(self.probabilities, len(self))

    @cached_property
    def threshold_row(self) -> np.ndarray:
        """The thresholds in the order of ``labels``: float32 [k]."""
        return np.array([self.thresholds.get(label, 0.5) for label in self.labels], np.float32)


@dataclass(frozen=True)
class Choice:
    """An image to be labelled.

    Attributes:
        sha256: the image.
        reason: why it was chosen; a name in ``REASONS``.
        score: how unsure the model is, 0…1; 1 of a correction or conflict, 0 of a random choice.
        why: a sentence for the annotator.
        priority: 0…1; lower is labelled first.
        suggested: the labels that a user of the predictor gave.
        reasons: the score of each reason that applies.
    """

    sha256: str
    reason: str
    score: float
    why: str
    priority: float
    suggested: tuple[str, ...] = ()
    reasons: Mapping[str, float] = field(default_factory=dict)


def _known(probabilities: np.ndarray | None, count: int) -> np.ndarray:
    if probabilities is None or not probabilities.shape[1]:
        return np.zeros(count, bool)
    inside = (probabilities >= 0) & (probabilities <= 1 + 1e-3)  # NaN is neither
    return np.asarray(inside.all(1))
