"""The time of an epoch is measured by the training loop itself."""

from pathlib import Path

import pytest

from training.config import Hyperparameters
from training.container.distributed import ALONE
from training.step_time import LONG_EPOCH_S, StepTime, _clock, _EpochOver, measure


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_an_epoch_of_the_loop_is_timed(tmp_path: Path, task: str) -> None:
    scratch = Hyperparameters(recipe="scratch", image_size=8, batch_size=4, epochs=50)
    found = measure(scratch, task, 3, 0.25, tmp_path, ALONE)  # type: ignore[arg-type]
    assert (found.images, found.val_images, found.device) == (8, 2, "cpu")
    assert 0 < found.seconds < LONG_EPOCH_S
    assert found.epoch_s(80) == pytest.approx(10 * found.epoch_s(8))


def test_a_busy_machine_does_not_make_an_epoch_longer() -> None:
    busy = StepTime(seconds=100.0, cpu_seconds=16.0, cores=2, images=10, val_images=2, device="cpu")
    assert busy.epoch_s(10) == pytest.approx(10.0)
    idle = busy.model_copy(update={"seconds": 9.0})
    assert idle.epoch_s(10) == pytest.approx(9.0)
    gpu = busy.model_copy(update={"device": "cuda"})
    assert gpu.epoch_s(10) == pytest.approx(100.0)


def test_a_long_first_epoch_is_enough() -> None:
    ends = [(-1000.0, 0.0)]
    with pytest.raises(_EpochOver):
        _clock(ends, alone=True)(None)
    ends = [(-1000.0, 0.0)]
    _clock(ends, alone=False)(None)  # the other processes of the team go on
    assert len(ends) == 2
