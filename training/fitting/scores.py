"""Scores of a whole split, without torchmetrics, whose import takes half a CPU second.

Epochs of a fine-tuning, whose batches may be on several machines, have the same scores from
``training.fitting.watched``.
"""

import torch

from training.artefact.artefact import Task
from training.fitting.losses import loss_of


def scores_of(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> dict[str, float]:
    """Compute ``loss``, ``accuracy`` and ``macro_f1`` of a split.

    Args:
        logits: float32 [n, classes].
        targets: int64 [n], or float32 [n, classes] of 0 and 1 (multi_label).
        task: single_label or multi_label. Accuracy of multi_label is the share of images whose labels
            are all right.

    Returns:
        The scores by name. Classes that are neither a target nor predicted do not count for the
        macro-F1 of single_label; for multi_label their F1 is 0.
    """
    if task == "multi_label":
        said, true = logits > 0, targets > 0.5
        right = (said == true).all(1)
    else:
        classes = torch.arange(logits.shape[1])
        said, true = logits.argmax(1)[:, None] == classes, targets[:, None] == classes
        right = (said & true).any(1)
    hits, both = (said & true).sum(0).double(), (said.sum(0) + true.sum(0)).double()
    f1 = 2 * hits / both.clamp(min=1)
    if task == "single_label":
        f1 = f1[both > 0]
    return {
        "loss": float(loss_of(logits, targets, task)),
        "accuracy": float(right.double().mean()),
        "macro_f1": float(f1.mean()),
    }
