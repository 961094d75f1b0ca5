"""Early stopping: the weights of the epoch with the least validation loss."""

from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch

Weights = Mapping[str, torch.Tensor]


class BestEpoch(pl.Callback):
    """Keeps the weights of the best epoch, and ends a training that no longer gets better.

    It is part of the checkpoint, so that a resumed training ends at the same epoch.

    Attributes:
        epoch: number of the best epoch, from 1; 0: none has ended.
        weights: of the net after it.
    """

    def __init__(self, patience: int, weights_of_net: Callable[[], Weights]) -> None:
        """Watch the validation loss.

        Args:
            patience: epochs without a lower loss after which training ends.
            weights_of_net: returns the weights that were validated.
        """
        self._patience, self._weights_of_net = patience, weights_of_net
        self.epoch, self._done = 0, 0
        self._loss = float("inf")
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End at once where the checkpoint is of the last epoch before the end."""
        self._end_if_over(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the epoch with the best one."""
        self._done = trainer.current_epoch + 1
        loss = float(trainer.callback_metrics["val_loss"])
        if loss < self._loss:
            self._loss, self.epoch = loss, self._done
            self.weights = {k: v.detach().cpu().clone() for k, v in self._weights_of_net().items()}
        self._end_if_over(trainer)

    def _end_if_over(self, trainer: pl.Trainer) -> None:
        if self._done - self.epoch >= self._patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what the checkpoint keeps."""
        return {
            "epoch": self.epoch,
            "done": self._done,
            "loss": self._loss,
            "weights": self.weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epoch, self._done = state_dict["epoch"], state_dict["done"]
        self._loss, self.weights = state_dict["loss"], state_dict["weights"]
