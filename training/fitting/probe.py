"""The probe recipe: logistic regression on frozen features, converted to one linear layer.

Logistic regression is convex: it needs no learning rate and no epochs, and is deterministic.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from training.artefact.artefact import Task
from training.container.distributed import ALONE, Team
from training.data.data import LabelledImages, Progress
from training.fitting.architectures import Classifier
from training.fitting.extractor import FeatureExtractor
from training.fitting.folds import folds_of
from training.fitting.halves import to_half
from training.fitting.held_out import HeldOut
from training.fitting.preconditioned import gram
from training.fitting.regression import Linear, Regression
from training.fitting.scores import scores_of

STRENGTHS = tuple(float(c) for c in np.logspace(-4, 1, 11))
"""Inverse regularisation strengths C, the strongest regularisation first, for standardised features.
Tried until the validation loss rises: it falls, then rises, and the last fits take longest."""

FEW_IMAGES = 500
"""Images of a validation split below which the strength is chosen by cross-validation: of so few, the
loss differs between strengths by less than by chance."""


def fit_probe(
    net: Classifier,
    *,
    task: Task,
    train: LabelledImages,
    val: LabelledImages,
    progress: Progress,
    report: Callable[[dict[str, float]], None],
    bf16: bool,
    team: Team = ALONE,
    keep: Callable[[list[str], np.ndarray], None] | None = None,
) -> tuple[list[dict[str, float]], HeldOut]:
    """Fit ``net``'s head in place; its backbone is not changed.

    The regularisation strength is chosen on the validation split, or by cross-validation over both
    splits where that is small. The head is then fitted on both.

    Args:
        net: with the backbone's weights loaded.
        task: single_label or multi_label.
        train: images to fit on.
        val: images to choose the strength on.
        progress: called with the numbers of images whose features are computed, and in all.
        report: called with the numbers of each strength tried: ``c``, ``val_loss``,
            ``val_accuracy``, ``val_macro_f1``.
        bf16: whether the backbone computes in bfloat16.
        team: the processes that compute features; then the first fits the head, and the others end.
        keep: called with the images (sha256) whose features were computed, and these: float16 [n, d].

    Returns:
        The reported numbers in order, and what the scores of the chosen strength are of.
    """
    total, classes = len(train) + len(val), net.head.out_features
    unknown = np.concatenate([train.unknown(), len(train) + val.unknown()])
    of_train = len(train.unknown())
    extracted = FeatureExtractor(net, images=len(unknown), bf16=bf16, team=team)
    parts = [
        extracted(train, lambda done: progress(done, len(unknown))),
        extracted(val, lambda done: progress(of_train + done, len(unknown))),
    ]
    team.dismiss()
    # Rounded as stored ones are, so that a model does not depend on which of them were stored.
    halves = np.concatenate([to_half(part) for part in parts])
    parts.clear()
    if keep is not None:
        images = [*train.rows["sha256"].to_pylist(), *val.rows["sha256"].to_pylist()]
        keep([images[row] for row in unknown.tolist()], halves[unknown])
    features = halves.astype(np.float32)
    targets = np.concatenate([train.targets, val.targets])
    split = (np.arange(len(train)), np.arange(len(train), total))
    chosen, groups = [split], np.concatenate([_groups(train), _groups(val)])
    if len(val) < FEW_IMAGES:
        chosen = folds_of(targets, groups) or chosen
    strength, history, logits, start = _chosen_strength(
        features, targets, classes, chosen, task, report
    )
    held_out = _held_out(logits, targets, groups, chosen)
    final = _Fit(features, targets, task, classes, start).at(strength)
    with torch.no_grad():
        net.head.weight.copy_(torch.from_numpy(final.weight))
        net.head.bias.copy_(torch.from_numpy(final.bias))
    return history, held_out


def _groups(split: LabelledImages) -> np.ndarray:
    """Return the near-duplicate group of each image, which no fold may divide."""
    return np.array(split.rows["group_id"].to_pylist(), dtype=str)


def _chosen_strength(
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    task: Task,
    report: Callable[[dict[str, float]], None],
) -> tuple[float, list[dict[str, float]], np.ndarray, "_Fit"]:
    """Try strengths until the loss of the held-out images rises.

    Args:
        features: float32 [n, features].
        targets: as in ``LabelledImages``.
        classes: number of labels.
        folds: rows to fit on, and rows held out.
        task: single_label or multi_label.
        report: called with the numbers of each strength tried.

    Returns:
        The strength of least loss, the reported numbers, the held-out logits at that strength, fold by
        fold, and the fit of the first fold.
    """
    fits = [_Fit(features[fit_on], targets[fit_on], task, classes) for fit_on, _ in folds]
    truth = np.concatenate([targets[held] for _, held in folds])
    history: list[dict[str, float]] = []
    best: tuple[float, np.ndarray] | None = None
    for strength in STRENGTHS:
        answers = [
            fit.at(strength).logits(features[held])
            for fit, (_, held) in zip(fits, folds, strict=True)
        ]
        logits = np.concatenate(answers).astype(np.float32)
        scores = scores_of(torch.from_numpy(logits), torch.from_numpy(truth), task)
        history.append({"c": strength, **{f"val_{name}": v for name, v in scores.items()}})
        report(history[-1])
        if best is not None and scores["loss"] > history[-2]["val_loss"]:
            break
        best = strength, logits
    assert best is not None
    fits[0].forget_features()
    return best[0], history, best[1], fits[0]


def _held_out(
    logits: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> HeldOut:
    """Put the logits, fold by fold, beside what is known of their images."""
    rows = np.concatenate([held for _, held in folds])
    fold = np.repeat(np.arange(len(folds)), [len(held) for _, held in folds])
    return HeldOut(logits, targets[rows], len(folds), fold, groups[rows])


class _Fit:
    """Regressions on the same standardised features, one strength after the other.

    Each starts from the coefficients of the one before, which saves most of the iterations.

    Args:
        features: float32 [n, features]; a standardised copy is kept.
        targets: as in ``LabelledImages``.
        task: single_label or multi_label.
        classes: number of labels.
        start: a fit of other images, whose coefficients are the first guess.
    """

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        task: Task,
        classes: int,
        start: "_Fit | None" = None,
    ) -> None:
        self._mean = features.mean(0)
        self._features = features - self._mean  # the only copy: they may take half of the memory
        variance = np.einsum("ij,ij->j", self._features, self._features) / len(features)
        self._std = np.sqrt(variance)
        self._std[self._std < 1e-6] = 1.0  # don't scale up a constant feature
        self._features /= self._std
        multi = task == "multi_label"
        columns = list(targets.T) if multi else [targets]
        guesses = start._regressions if start else [None] * len(columns)
        self._regressions: list[Regression] = [
            Regression(column, 2 if multi else classes, guess)
            for column, guess in zip(columns, guesses, strict=True)
        ]
        self._task = task
        self._products: np.ndarray | None = None

    def forget_features(self) -> None:
        """Free the memory of the features; only the coefficients stay."""
        self._features = np.empty((0, 0), np.float32)
        self._products = None

    def _gram(self) -> np.ndarray:
        """Return the products of all pairs of features, which all regressions share."""
        if self._products is None:
            self._products = gram(self._features)
        return self._products

    def at(self, strength: float) -> Linear:
        """Fit with an inverse regularisation strength; the layer takes unstandardised features."""
        parts = [each.fit(self._features, strength, self._gram) for each in self._regressions]
        if self._task == "multi_label":  # the second class is that the image has the label
            parts = [
                Linear(one.weight[1:] - one.weight[:1], one.bias[1:] - one.bias[:1])
                for one in parts
            ]
        weight = np.concatenate([part.weight for part in parts])
        bias = np.concatenate([part.bias for part in parts])
        weight = weight / self._std
        return Linear(weight.astype(np.float32), (bias - weight @ self._mean).astype(np.float32))
