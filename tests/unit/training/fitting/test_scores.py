"""Scores of a split are those that torchmetrics and scikit-learn compute."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss

from training.artefact.artefact import Task
from training.fitting.scores import scores_of
from training.fitting.watched import metrics_for

pytestmark = pytest.mark.unit


def _drawn(task: Task, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, classes, generator=draw) * 3
    if task == "multi_label":
        return logits, (torch.rand(40, classes, generator=draw) < 0.3).float()
    logits[:, -1] -= 100  # the last class is never predicted, nor a target
    return logits, torch.randint(0, classes - 1, (40,), generator=draw)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("classes", [2, 5])
def test_they_are_those_of_the_libraries(task: Task, classes: int) -> None:
    for seed in range(5):
        logits, targets = _drawn(task, classes, seed)
        found = scores_of(logits, targets, task)
        for name, value in metrics_for(task, classes)(logits, targets.int()).items():
            assert found[name] == pytest.approx(float(value), abs=1e-6), name
        said = (logits > 0).numpy() if task == "multi_label" else logits.argmax(1).numpy()
        truth = targets.numpy()
        assert found["accuracy"] == pytest.approx(accuracy_score(truth, said))
        expected = f1_score(truth, said, average="macro", zero_division=0)
        assert found["macro_f1"] == pytest.approx(expected)


def test_the_loss_of_single_label_is_the_log_loss() -> None:
    logits, targets = _drawn("single_label", 5, 0)
    probabilities = logits.softmax(1).double().numpy()
    expected = log_loss(targets.numpy(), probabilities, labels=range(5))
    assert scores_of(logits, targets, "single_label")["loss"] == pytest.approx(expected, rel=1e-5)


def test_logits_between_0_and_1_are_no_probabilities() -> None:
    logits = torch.tensor([[0.1, 0.4], [0.2, 0.3]])  # torchmetrics would take them for some
    targets = torch.ones(2, 2)
    assert scores_of(logits, targets, "multi_label")["accuracy"] == 1.0
    assert np.isfinite(scores_of(logits, targets, "multi_label")["loss"])
