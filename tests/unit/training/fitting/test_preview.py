"""The picture of training images shows what the net gets, and changes nothing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.fitting import preview

pytestmark = pytest.mark.unit

LABELS = ["a $label$ with 猫 and a very long name", "dog"]


def images(count: int, targets: np.ndarray) -> LabelledImages:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 20, 20, 3), dtype=np.uint8)
    return LabelledImages(pixels, targets, pa.table({"sha256": []}))


@pytest.mark.parametrize(
    ("count", "targets", "recipe", "rows"),
    [
        (40, np.arange(40) % 2, "finetune", 3),
        (3, np.eye(3, 2, dtype=np.float32), "probe", 1),  # multi_label; one without a label
        (1, np.zeros(1, np.int64), "scratch", 1),
    ],
)
def test_images_are_shown_with_their_labels(
    tmp_path: Path, count: int, targets: np.ndarray, recipe: str, rows: int
) -> None:
    split = images(count, targets)
    torch.manual_seed(7)
    undisturbed = torch.rand(3)
    torch.manual_seed(7)
    parameters = Hyperparameters(recipe=recipe, augmentation="photo")
    preview.draw_preview(tmp_path / "a.jpg", split, LABELS, parameters)
    assert torch.equal(torch.rand(3), undisturbed), "the training would be another one"
    sheet = Image.open(tmp_path / "a.jpg")
    assert sheet.height == 20 + rows * 132
    preview.draw_preview(tmp_path / "b.jpg", split, LABELS, parameters)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize(("recipe", "is_augmented"), [("probe", False), ("finetune", True)])
def test_the_images_are_augmented_as_the_recipe_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, is_augmented: bool
) -> None:
    shown: list[tuple[np.ndarray, list[str]]] = []
    monkeypatch.setattr(preview, "draw_batch", lambda _, *seen: shown.append(seen[:2]))
    split = images(4, np.array([0, 1, 1, 0]))
    parameters = Hyperparameters(recipe=recipe, augmentation="photo")
    preview.draw_preview(tmp_path / "a.jpg", split, ["cat", "dog"], parameters)
    ((seen, labels),) = shown
    assert labels == ["cat", "dog", "dog", "cat"]
    assert np.array_equal(seen, split.images) is not is_augmented
