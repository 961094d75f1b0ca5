"""The learning-rate range test (Smith 2015, https://arxiv.org/abs/1506.01186).

The rate grows from step to step, and the loss says which one learns fastest before it diverges.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from training.artefact.artefact import Task
from training.config import Hyperparameters
from training.container.hardware import device, use_cores_for, uses_bf16
from training.data.data import Batches, LabelledImages
from training.errors import PermanentFailure
from training.fitting.depthwise import float32_depthwise
from training.fitting.module import ClassifierModule

LOWEST, HIGHEST = 1e-7, 1.0
STEPS = 100
_SMOOTHING = 0.9
"""Weight of the former losses in their moving average."""

_DIVERGED = 4.0
"""Multiple of the least loss at which the test ends."""

_FIRST = 10
"""Steps that say nothing yet: the rate is tiny, and the average begins."""

_FLAT = 1e-6
"""Fall of the loss, by the natural logarithm of the rate, that is rounding."""


@dataclass(frozen=True)
class RateRange:
    """The test's curve.

    Attributes:
        rates: learning rate of each step.
        losses: moving average of the training loss at each step.
    """

    rates: Sequence[float]
    losses: Sequence[float]

    @property
    def suggested(self) -> float:
        """The rate at which the loss falls fastest, by the logarithm of the rate.

        Raises:
            PermanentFailure: there are too few steps before the loss diverges, or it never falls.
        """
        losses, rates = np.asarray(self.losses[_FIRST:]), np.asarray(self.rates[_FIRST:])
        if len(losses) < 3:
            raise PermanentFailure(
                f"the loss diverged after {len(self.losses)} steps of the range test: set a smaller "
                "augmentation, or learning_rate under [training] by hand"
            )
        slopes = np.gradient(losses, np.log(rates))
        steepest = int(np.argmin(slopes))
        if slopes[steepest] > -_FLAT:
            raise PermanentFailure(
                "the loss falls at no learning rate of the range test: the labels may not depend on "
                "the pictures"
            )
        return float(rates[steepest])


class _Growing(pl.Callback):
    """Sets the rate of each step, and keeps the loss."""

    def __init__(self, steps: int, progress: Callable[[int, int], None]) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._steps, self._progress, self._average = steps, progress, 0.0
        self._shares: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rates = [group["initial_lr"] for group in trainer.optimizers[0].param_groups]
        self._shares = [
            rate / max(rates) for rate in rates
        ]  # layers may learn at rates of their own

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        rate = LOWEST * (HIGHEST / LOWEST) ** (len(self.rates) / max(1, self._steps - 1))
        self.rates.append(rate)
        groups = trainer.optimizers[0].param_groups
        for group, share in zip(groups, self._shares, strict=True):
            group["lr"] = rate * share

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: object
    ) -> None:
        """Keep the loss of a batch, and stop where it is far above the least one.

        Args:
            trainer: Lightning's.
            pl_module: that is trained.
            outputs: of the training step.
        """
        loss, count = float(outputs["loss"]), len(self.losses) + 1
        self._average = _SMOOTHING * self._average + (1 - _SMOOTHING) * loss
        if not math.isfinite(loss):
            self.rates.pop()
            trainer.should_stop = True
            return
        self.losses.append(self._average / (1 - _SMOOTHING**count))
        self._progress(count, self._steps)
        if count > _FIRST and self.losses[-1] > _DIVERGED * min(self.losses):
            trainer.should_stop = True


def range_test(
    net: torch.nn.Module,
    parameters: Hyperparameters,
    *,
    task: Task,
    classes: int,
    train: LabelledImages,
    scratch: Path,
    progress: Callable[[int, int], None],
    steps: int = STEPS,
) -> RateRange:
    """Train for some steps with a growing rate; the net is of no use afterwards.

    Args:
        net: to train.
        parameters: of the training; its learning rate does not count.
        task: single_label or multi_label.
        classes: number of labels.
        train: images to train on.
        scratch: a folder for Lightning.
        progress: called with the numbers of steps done and in all.
        steps: number of steps.
    """
    use_cores_for(parameters)
    growing, on_gpu = _Growing(steps, progress), device().type == "cuda"
    module = ClassifierModule(net.to(memory_format=torch.channels_last), parameters, task, classes)
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        min_steps=1,
        precision="bf16-mixed" if uses_bf16(parameters) else "32-true",
        callbacks=[growing],
        accelerator="auto",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=scratch,
    )
    batches = Batches(train, parameters.batch_size, shuffle_seed=parameters.seed)
    with float32_depthwise(net, on=not on_gpu and uses_bf16(parameters)):
        trainer.fit(module, batches)
    return RateRange(growing.rates, growing.losses)
