"""The loss and the numbers that training watches, for both tasks."""

import torch
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from training.artefact import Task


def metrics_for(task: Task, classes: int) -> MetricCollection:
    """``accuracy`` (multi_label: all labels right) and ``macro_f1``."""
    found: dict[str, Metric | MetricCollection]
    if task == "multi_label":
        found = {
            "accuracy": MultilabelExactMatch(num_labels=classes),
            "macro_f1": MultilabelF1Score(num_labels=classes, average="macro"),
        }
    else:
        found = {
            "accuracy": MulticlassAccuracy(num_classes=classes, average="micro"),
            "macro_f1": MulticlassF1Score(num_classes=classes, average="macro"),
        }
    return MetricCollection(found)


def loss_of(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> torch.Tensor:
    """Mean negative log-likelihood: cross-entropy, or its binary form over all labels."""
    if task == "multi_label":
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, targets)


def scores_of(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> dict[str, float]:
    """``loss``, ``accuracy`` and ``macro_f1`` of a whole split.

    Args:
        logits: float32 [n, classes].
        targets: int64 [n], or float32 [n, classes] (multi_label).
    """
    metrics = metrics_for(task, logits.shape[1])
    found = {"loss": loss_of(logits, targets, task), **metrics(logits, targets.int())}
    return {name: float(value) for name, value in found.items()}
