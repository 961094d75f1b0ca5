"""The loss, for both tasks."""

import torch
from torch.nn import functional

from training.artefact.artefact import Task


def loss_of(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> torch.Tensor:
    """Mean negative log-likelihood: cross-entropy, or its binary form over all labels."""
    if task == "multi_label":
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, targets)
