"""Calibration on the validation split after training: temperature and thresholds."""

import numpy as np
import torch

from training.artefact.artefact import Task
from training.container.distributed import ALONE, Team
from training.container.hardware import device
from training.data.data import LabelledImages
from training.fitting.losses import loss_of
from training.fitting.sweep import sweep

_LOWEST_TEMPERATURE, _HIGHEST_TEMPERATURE = 0.05, 20.0


def predict_logits(
    net: torch.nn.Module, split: LabelledImages, classes: int, team: Team = ALONE
) -> torch.Tensor:
    """Compute the logits of a split.

    Args:
        net: images float32 [batch, 3, size, size] → logits [batch, classes].
        split: n images.
        classes: number of classes.
        team: the processes that share the work.

    Returns:
        float32 [n, classes]; complete only on the team's first process.
    """
    net = net.eval().to(device(), memory_format=torch.channels_last)
    logits = sweep(net, split, classes, team=team)
    net.cpu()
    return torch.from_numpy(logits)


def fit_temperature(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> float:
    """Fit the temperature that calibrates logits: the one of least log-loss.

    Temperature scaling: Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Args:
        logits: float32 [n, classes].
        targets: as :func:`loss_of` takes them.
        task: single_label or multi_label.

    Returns:
        The number to divide logits by, within 0.05…20.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(loss_of(logits / float(np.exp(log_temperature)), targets, task))

    # Bounded: without a single mistake on the split the best temperature would be 0, and every
    # later answer 100 % sure.
    bounds = (np.log(_LOWEST_TEMPERATURE), np.log(_HIGHEST_TEMPERATURE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def fit_thresholds(
    probabilities: np.ndarray, targets: np.ndarray, labels: tuple[str, ...]
) -> dict[str, float]:
    """Fit each label's decision threshold: the probability of best F1.

    Of several equally good ones, the nearest to 0.5; 0.5 for a label that no image has.

    Args:
        probabilities: float32 [n, classes].
        targets: float32 [n, classes] of 0 and 1.
        labels: names of the columns.

    Returns:
        Thresholds in [0, 1], by label.
    """
    return {
        label: _best_threshold(probabilities[:, index], targets[:, index] > 0)
        for index, label in enumerate(labels)
    }


def _best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    if not truth.any():
        return 0.5
    values = np.unique(probabilities.astype(np.float64))
    candidates = np.append((values[1:] + values[:-1]) / 2, 0.5)
    given = probabilities[None] >= candidates[:, None]
    hits = (given & truth).sum(1)
    f1 = 2 * hits / (given.sum(1) + truth.sum())
    best = candidates[f1 >= f1.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])
