"""The loss of both tasks."""

import torch
from torch.nn import functional

from training.artefact.artefact import Task


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
