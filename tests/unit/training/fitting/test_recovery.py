"""Faults of a training: a loss that diverges, too little memory, a kill in an epoch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.unit.training.fitting.tiny import Training, images, training
from training.container.distributed import ALONE
from training.errors import PermanentFailure
from training.fitting.checkpoints import CHECKPOINT
from training.fitting.fit import Trained
from training.fitting.module import ClassifierModule
from training.fitting.recovery import Diverged, Recovery, Watch, is_out_of_memory

pytestmark = pytest.mark.unit

ALL = {"mixup": 0.2, "cutmix": 1.0, "start_size": 0.5, "ema_decay": 0.8, "patience": 2, "epochs": 4}
"""Whatever has a state or a chance of its own."""


class Killed(BaseException):
    """Like kill -9: nothing of the training runs after it."""


def spoil(monkeypatch: pytest.MonkeyPatch, fault: Any) -> list[tuple[int, int]]:
    """Have ``fault(module, epoch, batch, images)`` called before each training step; the steps."""
    steps: list[tuple[int, int]] = []
    step = ClassifierModule.training_step

    def spoiled(module: ClassifierModule, batch: Any, batch_idx: int) -> torch.Tensor:
        steps.append((module.current_epoch + 1, batch_idx + 1))
        fault(module, *steps[-1], len(batch[0]))
        return step(module, batch, batch_idx)

    monkeypatch.setattr(ClassifierModule, "training_step", spoiled)
    return steps


def weights_of(one: Training) -> dict[str, torch.Tensor]:
    return one.net.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_loss_that_is_no_number_ends_training_at_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(module: ClassifierModule, epoch: int, batch: int, _: int) -> None:
        if (epoch, batch) == (2, 2):
            torch.nn.init.constant_(module.net.head.weight, float("nan"))

    steps = spoil(monkeypatch, fault)
    one = training(tmp_path, learning_rate=0.01)
    with pytest.raises(PermanentFailure) as failed:
        one.run()
    assert "the training loss is nan in epoch 2, batch 2, also with half" in str(failed.value)
    assert "lower learning_rate (now 0.01) under [training] in imgclf.toml" in str(failed.value)
    assert one.told == [1]
    assert steps == [*((1, n) for n in (1, 2, 3, 4)), (2, 1), (2, 2), (2, 1), (2, 2)]
    assert one.warnings == [
        "the training loss is nan in epoch 2, batch 2: training goes on from the last checkpoint "
        "with half the learning rate"
    ]
    state = torch.load(tmp_path / "checkpoints" / CHECKPOINT, weights_only=True)["state_dict"]
    assert all(torch.isfinite(value).all() for value in state.values())


def test_half_the_rate_from_the_last_checkpoint_can_be_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: dict[tuple[int, int], float] = {}

    def fault(module: ClassifierModule, epoch: int, batch: int, _: int) -> None:
        rates[epoch, batch] = module.trainer.optimizers[0].param_groups[0]["lr"]
        if (epoch, batch) == (2, 1) and not one.warnings:
            torch.nn.init.constant_(module.net.head.weight, float("inf"))

    spoil(monkeypatch, fault)
    one = training(tmp_path, warm_up=0.0)
    found = one.run()
    assert found.facts["learning_rate_factor"] == 0.5
    assert one.told == [1, 2, 3]
    assert rates[2, 1] < 0.51 * rates[1, 1]
    again = training(tmp_path, warm_up=0.0)  # after a kill it is still half
    assert again.run().facts["learning_rate_factor"] == 0.5
    assert same(weights_of(one), weights_of(again))


def test_a_loss_that_grows_without_end_is_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(module: ClassifierModule, *_: int) -> None:
        with torch.no_grad():
            module.net.head.weight.mul_(1.5).add_(torch.tensor([[5.0], [0.0], [0.0]]))

    steps = spoil(monkeypatch, fault)
    with pytest.raises(PermanentFailure, match="diverged: the training loss is"):
        training(tmp_path, epochs=20, patience=0).run()
    assert len(steps) < 100


def test_few_batches_of_a_rate_that_is_far_too_high_are_divergence(tmp_path: Path) -> None:
    """Their loss is huge and falls, so no window of batches tells."""
    one = training(tmp_path, learning_rate=1e3, epochs=3, patience=0)
    with pytest.raises(
        PermanentFailure, match="diverged: the training loss is .* on average"
    ) as failed:
        one.run()
    assert "lower learning_rate (now 1000) under [training] in imgclf.toml" in str(failed.value)


def test_a_loss_that_falls_again_after_the_first_steps_is_none() -> None:
    def fed(losses: list[float]) -> int:
        """How many batches pass."""
        watch = Watch(Recovery(), 1.0, ALONE)
        for number, loss in enumerate(losses):
            module = SimpleNamespace(batch_loss=torch.tensor(loss))
            try:
                watch.on_train_batch_end(
                    SimpleNamespace(current_epoch=0), module, None, None, number
                )
            except Diverged:
                return number
        return len(losses)

    assert fed([1.0, *(100.0 - n for n in range(90))]) == 91, "overshot, and falls"
    assert fed([1.0, *(100.0 + n for n in range(90))]) == 39
    assert fed([1.0] * 50 + [3.9] * 50) == 100
    assert fed([1.0] * 50 + [float("inf")]) == 50


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
        ),
        MemoryError(),
    ],
)
def test_without_memory_batches_are_computed_in_parts(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest: list[int] = []

    def fault(_: ClassifierModule, epoch: int, batch: int, count: int) -> None:
        if epoch == 2 and count > 3:
            raise error
        largest.append(count)

    spoil(monkeypatch, fault)
    one = training(tmp_path)
    found = one.run()
    assert found.facts["parts_of_batch"] == 2
    assert one.told == [1, 2, 3]
    assert one.warnings == [
        "out of memory: training goes on from the last checkpoint; each batch of 6 images is "
        "computed in 2 parts, whose gradients are added"
    ]
    assert max(largest[4:]) == 3


def test_parts_of_a_batch_give_the_gradient_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"augmentation": "none", "epochs": 2, "batch_size": 8, "optimizer": "sgd"}
    whole = training(tmp_path / "whole", **plain)
    whole.run(train=images(16))

    def fault(_: ClassifierModule, __: int, ___: int, count: int) -> None:
        if count > 4:
            raise MemoryError

    spoil(monkeypatch, fault)
    parts = training(tmp_path / "parts", **plain)
    assert parts.run(train=images(16)).facts["parts_of_batch"] == 2
    for name, value in weights_of(whole).items():
        found = weights_of(parts)[name].numpy()
        assert found == pytest.approx(value.numpy(), rel=1e-4, abs=1e-6), name


def test_too_little_memory_for_two_images_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise MemoryError("no room")

    spoil(monkeypatch, fault)
    with pytest.raises(
        PermanentFailure, match=r"out of memory at 3 images a step \(no room\); lower"
    ):
        training(tmp_path).run()
    assert not is_out_of_memory(RuntimeError("shapes differ"))


@pytest.mark.parametrize("at", [(2, 3), (3, 1)])
def test_a_kill_in_an_epoch_changes_no_weight(
    at: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the state of the moving average, of the best epoch, and the chance of every mixing."""
    straight = training(tmp_path / "straight", **ALL)
    history = straight.run().epochs
    killed = training(tmp_path / "killed", **ALL)

    def fault(_: ClassifierModule, epoch: int, batch: int, __: int) -> None:
        if (epoch, batch) == at:
            raise Killed

    with monkeypatch.context() as patched:
        spoil(patched, fault)
        with pytest.raises(Killed):
            killed.run()
    resumed = training(tmp_path / "killed", **ALL)
    assert resumed.run().epochs == history
    assert resumed.told[0] == at[0]
    assert same(weights_of(straight), weights_of(resumed))
    after = training(tmp_path / "killed", **ALL)  # killed after the last checkpoint
    assert after.run().epochs == history
    assert after.told == []
    assert same(weights_of(straight), weights_of(after))


def test_an_early_stop_is_the_same_after_a_kill(tmp_path: Path) -> None:
    """The validation labels are wrong, so that the first epoch is the best."""
    given = {"patience": 1, "epochs": 6, "learning_rate": 0.05, "ema_decay": 0.0}
    val = images(6, seed=1)
    wrong = {"val": type(val)(val.images, (val.targets + 1) % 3, val.rows)}
    straight = training(tmp_path, **given)
    found = straight.run(**wrong)
    assert len(found.epochs) < 6
    assert found.facts["best_epoch"] == len(found.epochs) - 1
    losses = [epoch["val_loss"] for epoch in found.epochs]
    assert losses[-2] == min(losses) == found.val_loss
    last = len(found.epochs)
    assert f"epoch {last - 1} of {last} are kept" in found.kept_text
    assert Trained(found.epochs).kept_text == ""
    again = training(tmp_path, **given)
    assert again.run(**wrong).epochs == found.epochs
    assert again.told == []
    assert same(weights_of(straight), weights_of(again))
