"""The probe recipe: logistic regression on frozen features, converted to one linear layer.

Logistic regression is convex: it needs no learning rate and no epochs, and is deterministic. Its
regularisation strength is chosen on the validation split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.artefact.artefact import Task
from training.container.distributed import ALONE, Team
from training.container.hardware import device
from training.data.data import LabelledImages, Progress
from training.fitting.architectures import Classifier
from training.fitting.cpu_features import WORTH_IMAGES, openvino_features
from training.fitting.sweep import sweep

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

STRENGTHS = tuple(float(c) for c in np.logspace(-4, 1, 11))
"""Inverse regularisation strengths C, the strongest regularisation first, for standardised features.
Tried until the validation loss rises: it falls, then rises, and the last fits take longest."""

_WORTH_THREADS = 20_000_000
"""Features × images from which BLAS may use all cores. Below, its threads mostly wait for each
other: 2,730 images with 1,280 features took 0.6 s on one core and 5 s on two busy ones."""

_MAX_ITERATIONS = 1000
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Linear:
    """``logits = features @ weight.T + bias``: float32 [classes, features], [classes]."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Compute logits: float32 [n, features] → [n, classes]."""
        return features @ self.weight.T + self.bias


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
) -> tuple[list[dict[str, float]], torch.Tensor]:
    """Fit ``net``'s head in place; its backbone is not changed.

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

    Returns:
        The reported numbers in order, and the logits of the validation split, float32 [n, classes].
    """
    from training.fitting.watched import scores_of

    total = len(train) + len(val)
    extracted = partial(extract, net, bf16=bf16, team=team)
    features = extracted(train, lambda done: progress(done, total))
    val_features = extracted(val, lambda done: progress(len(train) + done, total))
    team.dismiss()
    mean, std = features.mean(0), features.std(0)
    std[std < 1e-6] = 1.0  # don't scale up a constant feature
    features -= mean
    features /= std
    history: list[dict[str, float]] = []
    best: Linear | None = None
    for strength in STRENGTHS:
        # The head includes the standardisation, so it takes the backbone's features.
        linear = _unstandardised(_regress(features, train.targets, strength, task), mean, std)
        logits = linear.logits(val_features)
        scores = scores_of(torch.from_numpy(logits), torch.from_numpy(val.targets), task)
        history.append({"c": strength, **{f"val_{name}": v for name, v in scores.items()}})
        report(history[-1])
        if best is not None and scores["loss"] > history[-2]["val_loss"]:
            break
        best = linear
    assert best is not None
    with torch.no_grad():
        net.head.weight.copy_(torch.from_numpy(best.weight))
        net.head.bias.copy_(torch.from_numpy(best.bias))
    return history, torch.from_numpy(best.logits(val_features))


def extract(
    net: Classifier,
    split: LabelledImages,
    report: Callable[[int], None],
    *,
    bf16: bool,
    team: Team = ALONE,
) -> np.ndarray:
    """Compute the backbone's features of every image; see ``sweep``.

    Many images on a CPU are computed by OpenVINO.

    Args:
        net: its backbone computes the features.
        split: n images.
        report: called with the number of images done, about.
        bf16: whether to compute in bfloat16.
        team: the processes that share the work.

    Returns:
        float32 [n, features]; complete only on the team's first process.
    """
    place = device()
    width = net.head.in_features
    net.eval()
    if place.type == "cpu" and len(split) >= WORTH_IMAGES:
        converted = openvino_features(net, bf16=bf16)
        if converted is not None:
            return sweep(converted, split, width, team=team, report=report, channels_last=False)
    net = net.to(place, memory_format=torch.channels_last)

    def features(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(place.type, torch.bfloat16, enabled=bf16):
            return net.embed(images)

    found = sweep(features, split, width, team=team, report=report)
    net.cpu()
    return found


def _regress(features: np.ndarray, targets: np.ndarray, strength: float, task: Task) -> Linear:
    """Fit a multinomial logistic regression, or one binary regression per label (multi_label)."""
    if task == "multi_label":
        rows = [_fitted(features, column, strength) for column in targets.T]
        weight = np.concatenate([row.coef_ for row in rows])
        return _linear(weight, np.concatenate([row.intercept_ for row in rows]))
    model = _fitted(features, targets, strength)
    if len(model.coef_) > 1:
        return _linear(model.coef_, model.intercept_)
    # For two classes scikit-learn has only the difference of the logits: each class gets half of it.
    half = np.concatenate([-model.coef_, model.coef_]) / 2
    return _linear(half, np.concatenate([-model.intercept_, model.intercept_]) / 2)


def _fitted(features: np.ndarray, targets: np.ndarray, strength: float) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS, tol=_TOLERANCE)
    with threadpool_limits(1 if features.size < _WORTH_THREADS else None, user_api="blas"):
        return model.fit(features, targets)


def _linear(weight: np.ndarray, bias: np.ndarray) -> Linear:
    return Linear(weight.astype(np.float32), bias.astype(np.float32))


def _unstandardised(linear: Linear, mean: np.ndarray, std: np.ndarray) -> Linear:
    weight = linear.weight / std
    return Linear(weight, linear.bias - weight @ mean)
