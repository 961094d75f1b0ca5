"""The losses of both tasks."""

import numpy as np
import torch
from torch.nn import functional

from training.artefact.artefact import Task
from training.config import ClassWeights


def loss_of(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> torch.Tensor:
    """Compute the mean negative log-likelihood: (binary, if multi_label) cross-entropy.

    Args:
        logits: float [n, classes].
        targets: int64 [n] (single_label), or float32 [n, classes] of 0 and 1 (multi_label).
        task: single_label or multi_label.

    Returns:
        A scalar tensor.
    """
    if task == "multi_label":
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, targets)


def training_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    task: Task,
    *,
    smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the loss that training minimises: ``loss_of`` with label smoothing and class weights.

    Args:
        logits: float [n, classes].
        targets: as ``loss_of`` takes them; also float32 [n, classes] of shares (mixed images).
        task: single_label or multi_label.
        smoothing: share of each target that is spread over all labels.
        weights: float32 [classes], from ``class_weights``; ``None``: all 1.

    Returns:
        A scalar tensor.
    """
    if task == "multi_label":
        spread = targets * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, spread, pos_weight=weights)
    return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)


def class_weights(
    targets: np.ndarray, classes: int, kind: ClassWeights, task: Task
) -> torch.Tensor | None:
    """Compute the weight of each label in the training loss.

    Args:
        targets: of the training images, as in ``LabelledImages``.
        classes: number of labels.
        kind: none, sqrt or balanced.
        task: single_label or multi_label.

    Returns:
        float32 [classes], 1 on average over the images (multi_label: negatives for each positive);
        ``None``: all 1.
    """
    if kind == "none":
        return None
    if task == "multi_label":
        positive = np.maximum(targets.sum(0), 1)
        ratio = (len(targets) - targets.sum(0)) / positive
    else:
        ratio = len(targets) / (classes * np.maximum(np.bincount(targets, minlength=classes), 1))
    found = np.sqrt(ratio) if kind == "sqrt" else ratio
    if task == "single_label":
        found = found / found[targets].mean()
    return torch.from_numpy(found.astype(np.float32))


def guessing_loss(task: Task, classes: int) -> float:
    """Return the loss of answers that do not depend on the image, with equally frequent labels."""
    return float(np.log(2 if task == "multi_label" else max(2, classes)))
