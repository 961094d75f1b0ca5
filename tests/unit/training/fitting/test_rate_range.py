"""The range test of the learning rate."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.errors import PermanentFailure
from training.fitting.architectures import build
from training.fitting.rate_range import HIGHEST, LOWEST, RateRange, range_test
from training.tuning.pictures import draw_rates

pytestmark = pytest.mark.unit


def test_the_rate_at_which_a_real_net_learns_fastest_lies_inside_the_range(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    targets = np.arange(64) % 2
    pixels = generator.integers(0, 60, (64, 8, 8, 3)) + 180 * targets[:, None, None, None]
    train = LabelledImages(pixels.astype(np.uint8), targets, pa.table({"sha256": list("a" * 64)}))
    job = Hyperparameters(
        recipe="scratch", image_size=8, batch_size=16, augmentation="none", precision="32"
    )
    torch.manual_seed(0)
    steps: list[int] = []
    found = range_test(
        build(job, 2),
        job,
        task="single_label",
        classes=2,
        train=train,
        scratch=tmp_path,
        progress=lambda done, total: steps.append(done),
        steps=60,
    )
    assert steps == list(range(1, len(found.losses) + 1))
    assert found.rates[0] == pytest.approx(LOWEST)
    assert len(found.rates) == len(found.losses) <= 60
    assert 1e-5 < found.suggested < HIGHEST
    draw_rates(tmp_path / "rates.png", found.rates, found.losses, found.suggested)
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


def test_the_steepest_fall_is_suggested() -> None:
    rates = np.geomspace(1e-7, 1, 100)
    losses = 1 - 1 / (1 + np.exp(-3 * (np.log10(rates) + 3)))  # falls fastest at 1e-3
    assert RateRange(rates.tolist(), losses.tolist()).suggested == pytest.approx(1e-3, rel=0.2)


@pytest.mark.parametrize(
    ("losses", "text"), [([1.0] * 50, "falls at no learning rate"), ([1.0] * 5, "diverged after 5")]
)
def test_a_curve_that_says_nothing_is_an_error(losses: list[float], text: str) -> None:
    with pytest.raises(PermanentFailure, match=text):
        _ = RateRange(np.geomspace(1e-7, 1, len(losses)).tolist(), losses).suggested
