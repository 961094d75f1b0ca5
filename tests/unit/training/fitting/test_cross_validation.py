"""Cross-validated scores: no image decides about its own answer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from training.fitting.cross_validation import cross_validated
from training.fitting.held_out import HeldOut
from training.train import _write_cross_validation

pytestmark = pytest.mark.unit


def test_thresholds_of_a_fold_are_those_of_the_others(tmp_path: Path) -> None:
    """Either fold's own threshold would be perfect; the other's takes all images, or none."""
    truth = np.tile([[1, 0], [0, 1]], (20, 1)).astype(np.float32)
    fold = np.repeat([0, 1], 20)
    logits = np.where(truth > 0, 1, -1) + np.where(fold == 0, 4, -4)[:, None]
    names = np.arange(40).astype(str)
    held_out = HeldOut(logits.astype(np.float32), truth, 2, fold, names)
    found = cross_validated(held_out, "multi_label", ("a", "b"))
    assert found is not None
    assert (found.folds, found.images, found.accuracy) == (2, 40, 0)
    for row in found.per_class.values():
        assert (row.recall, row.precision, row.support) == (0.5, 0.5, 20)
    low, high = found.intervals["macro_f1"]
    assert low < found.macro_f1 == 0.5 < high
    job = SimpleNamespace(task="multi_label", labels=("a", "b"))
    metrics = _write_cross_validation(tmp_path, held_out, job)  # those of imgclf runs and MLflow
    assert (metrics["val_accuracy"], metrics["val_macro_f1"]) == (0, 0.5)
    assert (tmp_path / "cross_validation.json").is_file()


def test_one_label_an_image_has_the_most_probable_one() -> None:
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 3, 90)
    logits = (3 * np.eye(3)[targets] + draw.normal(size=(90, 3))).astype(np.float32)
    held_out = HeldOut(logits, targets, 3, np.arange(90) % 3, np.arange(90).astype(str))
    found = cross_validated(held_out, "single_label", ("a", "b", "c"))
    assert found is not None
    assert found.accuracy == pytest.approx((logits.argmax(1) == targets).mean())
    assert 0 < found.log_loss < 1


def test_a_validation_split_is_no_cross_validation() -> None:
    held_out = HeldOut(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]))
    assert cross_validated(held_out, "single_label", ("a", "b")) is None
