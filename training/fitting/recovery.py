"""What a training does after a fault: a halved learning rate, or batches in smaller parts."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import lightning.pytorch as pl
import torch

from errors.base import ImgclfError
from training.config import Hyperparameters
from training.container.distributed import Team
from training.errors import PermanentFailure

_WINDOW = 20
"""Batches over which the loss is averaged, twice in turn."""

_FACTOR = 4.0
"""How many times the first loss, or the loss of guessing, an average is that counts as divergence."""

_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class Diverged(ImgclfError):
    """The loss is not finite, or grows; the message says which and when."""


@dataclass(frozen=True)
class Recovery:
    """How training goes on after faults. It is part of the checkpoint.

    Attributes:
        rate_factor: of the learning rate.
        parts: number of parts in which a batch is computed; their gradients are added.
    """

    rate_factor: float = 1.0
    parts: int = 1

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read from a checkpoint."""
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return cls(**checkpoint.get("callbacks", {}).get(Watch.KEY, {}).get("recovery", {}))

    def joined(self, other: Self) -> Self:
        """Combine what two attempts have learnt."""
        return replace(
            self,
            rate_factor=min(self.rate_factor, other.rate_factor),
            parts=max(self.parts, other.parts),
        )

    def after_divergence(self, what: str, parameters: Hyperparameters) -> Self:
        """Halve the learning rate.

        Raises:
            PermanentFailure: it was halved before.
        """
        if self.rate_factor < 1:
            raise PermanentFailure(
                f"the training diverged: {what}, also with half the learning rate; lower "
                f"learning_rate (now {parameters.learning_rate:g}) under [training] in imgclf.toml"
            )
        return replace(self, rate_factor=self.rate_factor / 2)

    def after_memory(self, error: BaseException, parameters: Hyperparameters, team: Team) -> Self:
        """Halve the images that are computed at once.

        Args:
            error: of the memory.
            parameters: of the job.
            team: the processes that train together.

        Raises:
            PermanentFailure: a part has no two images, or several processes train together.
        """
        images = parameters.batch_size // self.parts
        if team.size > 1 or images < 4:  # batch normalisation needs two images
            together = " of all processes together" if team.size > 1 else ""
            raise PermanentFailure(
                f"out of memory at {images} images a step{together} ({_first_line(error)}); lower "
                "batch_size or image_size under [training] in imgclf.toml, choose a smaller "
                "architecture, or take a machine with more memory"
            ) from error
        return replace(self, parts=self.parts * 2)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a GPU or this machine has too little memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY_WORDS)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().partition("\n")[0][:200]


class Watch(pl.Callback):
    """Stops a training at the batch at which it diverges, and keeps the ``Recovery``."""

    KEY = "Watch"

    def __init__(self, recovery: Recovery, guessing: float, team: Team) -> None:
        """Watch over a training.

        Args:
            recovery: of this attempt.
            guessing: loss of answers that are guessed.
            team: the processes that train together.
        """
        self._recovery, self._guessing, self._team = recovery, guessing, team
        self._first: float | None = None
        self._recent: list[float] = []

    @property
    def state_key(self) -> str:
        """Name in the checkpoint."""
        return self.KEY

    def state_dict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps."""
        return {"recovery": asdict(self._recovery), "first": self._first, "recent": self._recent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; the recovery of this attempt counts."""
        self._first, self._recent = state_dict["first"], state_dict["recent"]

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at the loss of a batch.

        Args:
            trainer: Lightning's.
            pl_module: that is trained.
            outputs: of the training step.
            batch: that was trained on.
            batch_idx: its number in the epoch, from 0.

        Raises:
            Diverged: it is not finite, or the recent ones are far above the first.
        """
        loss = float(pl_module.batch_loss)
        self._first = loss if self._first is None else self._first
        self._recent = [*self._recent, loss][-2 * _WINDOW :]
        before, now = sum(self._recent[:_WINDOW]), sum(self._recent[_WINDOW:])
        bound = self._bound(self._first) * _WINDOW
        # High but falling losses are no divergence: the first steps may overshoot.
        grows = len(self._recent) == 2 * _WINDOW and now > max(bound, before)
        if self._team.any(grows or not math.isfinite(loss)):
            epoch = trainer.current_epoch + 1
            raise Diverged(
                f"the training loss is {loss:.4g} in epoch {epoch}, batch {batch_idx + 1}"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the mean loss of an epoch, since few batches never fill the window.

        Raises:
            Diverged: it is far above the first, though it is no longer one of the first steps.
        """
        loss, epoch = float(trainer.callback_metrics["train_loss"]), trainer.current_epoch + 1
        is_over = epoch == trainer.max_epochs
        began = self._first is not None and (len(self._recent) >= _WINDOW or is_over)
        if epoch > 1 and began and self._team.any(loss > self._bound(self._first or 0.0)):
            raise Diverged(f"the training loss is {loss:.4g} on average in epoch {epoch}")

    def _bound(self, first: float) -> float:
        """Return the loss above which a training diverges; ``first`` is that of its first batch."""
        return _FACTOR * max(first, self._guessing)
