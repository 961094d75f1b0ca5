"""The head of a net that is to be fine-tuned starts as a probe on the features of the net."""

import numpy as np
import torch

from training.artefact.artefact import Task
from training.container.distributed import ALONE, Team
from training.data.data import LabelledImages, Progress
from training.fitting.architectures import Classifier
from training.fitting.extractor import FeatureExtractor
from training.fitting.regression import Linear, Regression

_STRENGTH = 0.01
"""Inverse regularisation strength C for standardised features: the one that the probe chose on 2,638
photos of scenes. It is not searched for, since the head is trained further."""

MOST_IMAGES = 10_000
"""Images on which the head is fitted: more make it hardly better, and their features cost time."""


def start_head(
    net: Classifier,
    train: LabelledImages,
    *,
    task: Task,
    bf16: bool,
    progress: Progress = lambda done, total: None,
    team: Team = ALONE,
) -> None:
    """Fit ``net``'s head in place on the training split; the same in all processes.

    The validation split is not learnt from: it decides when training ends.

    Args:
        net: with the backbone's weights loaded.
        train: images to fit on.
        task: single_label or multi_label.
        bf16: whether the backbone computes in bfloat16.
        progress: called with the numbers of images whose features are computed, and in all.
        team: the processes that compute features; the first fits the head.
    """
    some = _some_of(train)
    extract = FeatureExtractor(net, images=len(some), bf16=bf16, team=team)
    features = extract(some, lambda done: progress(done, len(some)))
    head = Linear(net.head.weight.detach().numpy(), net.head.bias.detach().numpy())
    if team.leads:
        head = fit_head(features, some.targets, net.head.out_features, task)
    with torch.no_grad():
        net.head.weight.copy_(team.from_leader(torch.from_numpy(head.weight)))
        net.head.bias.copy_(team.from_leader(torch.from_numpy(head.bias)))
    net.train()


def fit_head(features: np.ndarray, targets: np.ndarray, classes: int, task: Task) -> Linear:
    """Fit a logistic regression on features.

    Args:
        features: float32 [n, features].
        targets: as in ``LabelledImages``.
        classes: number of labels.
        task: single_label or multi_label.

    Returns:
        float32 [classes, features] and [classes], for features as they are.
    """
    mean, std = features.mean(0), features.std(0)
    std[std < 1e-6] = 1.0  # don't scale up a constant feature
    standardised = (features - mean) / std
    if task == "multi_label":
        each = [Regression(column, 2).fit(standardised, _STRENGTH) for column in targets.T]
        # The second class is that the image has the label.
        weight = np.stack([one.weight[1] - one.weight[0] for one in each])
        bias = np.array([one.bias[1] - one.bias[0] for one in each])
    else:
        found = Regression(targets, classes).fit(standardised, _STRENGTH)
        weight, bias = found.weight, found.bias
    weight = weight / std
    return Linear(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32))


def _some_of(split: LabelledImages) -> LabelledImages:
    """Return the split, or the first images of a large one, which are in order of their hashes."""
    return split.only(np.arange(min(MOST_IMAGES, len(split))))
