"""Validation metrics of both tasks, collected over the batches of an epoch.

In a module apart from the loss, since torchmetrics imports SciPy's signals, Matplotlib and
torchvision, which takes 3 s.
"""

import torch
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from training.artefact.artefact import Task


class MeanOverImages(Metric):
    """The mean of a loss over all images of all processes.

    Not torchmetrics' MeanMetric, which loses the weights if NaN is allowed (1.9), and not
    Lightning's own, which rounds the number of images when it averages over processes (2.6).
    """

    total: torch.Tensor
    images: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: torch.Tensor, images: int) -> None:
        """Add a batch's mean loss (scalar tensor) and its number of images."""
        self.total = self.total + loss.detach() * images
        self.images = self.images + images

    def compute(self) -> torch.Tensor:
        """Return the mean, a scalar tensor."""
        return self.total / self.images


def metrics_for(task: Task, classes: int) -> MetricCollection:
    """Build the metrics ``accuracy`` (multi_label: exact match) and ``macro_f1``."""
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
