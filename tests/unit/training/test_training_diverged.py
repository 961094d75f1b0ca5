"""A training whose loss is not finite stops at that epoch and says what to change."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.errors import PermanentFailure
from training.fitting.checkpoints import CHECKPOINT
from training.fitting.fit import Epoch, fit, require_finite

pytestmark = pytest.mark.unit


def _images(n: int) -> LabelledImages:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(
        pixels, np.arange(n) % 2, pa.table({"sha256": [str(i) for i in range(n)]})
    )


def _fit(folder: Path, learning_rate: float, epochs: list[Epoch]) -> list[Epoch]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8 * 8 * 3, 2))
    return fit(
        net,
        Hyperparameters(
            recipe="scratch",
            optimizer="sgd",
            learning_rate=learning_rate,
            epochs=50,
            batch_size=4,
            image_size=8,
            augmentation="none",
        ),
        task="single_label",
        classes=2,
        train=_images(8),
        val=_images(4),
        checkpoints=folder / "checkpoints",
        scratch=folder / "scratch",
        report=epochs.append,
    )


def test_it_stops_at_the_first_such_epoch_and_names_the_remedy(tmp_path: Path) -> None:
    messages: list[Epoch] = []
    with pytest.raises(PermanentFailure, match=r"lower learning_rate \(now 1e\+30\)"):
        _fit(tmp_path, 1e30, messages)
    finite = [np.isfinite([epoch["train_loss"], epoch["val_loss"]]).all() for epoch in messages]
    assert finite == [True] * (len(messages) - 1) + [False]
    assert len(messages) < 50


def test_it_is_never_resumed_from_weights_that_are_no_numbers(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(PermanentFailure, match="diverged"):
            _fit(tmp_path, 1e30, [])
    saved = tmp_path / "checkpoints" / CHECKPOINT
    if saved.exists():
        state = torch.load(saved, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["train_loss", "val_loss"])
def test_either_loss_counts(name: str, loss: float) -> None:
    epoch = {"epoch": 3, "train_loss": 1.0, "val_loss": 1.0, name: loss}
    with pytest.raises(PermanentFailure, match=f"{name} is {loss} after epoch 3"):
        require_finite(epoch, 0.1)
    require_finite({"epoch": 3, "train_loss": 1e30, "val_loss": 0.0}, 0.1)
