"""Lightning callbacks that end all processes together, and that keep the history of the epochs."""

import math
import signal
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

from training.container.distributed import Team
from training.data.data import Progress
from training.fitting.recovery import Diverged

Epoch = dict[str, float]
"""``epoch`` (from 1), ``train_loss``, ``val_loss``, ``val_accuracy``, ``val_macro_f1``."""

STOPPED = 128 + signal.SIGTERM
"""Exit code of a process that ended at a SIGTERM."""


class Stop(pl.Callback):
    """Ends all processes of a team after the same batch when one gets SIGTERM.

    Lightning's own handler starts a collective operation at any point of the computation, where it
    may meet another kind of operation and wait. This handler only sets a flag; after each batch all
    processes exchange their flags.
    """

    def __init__(self, team: Team) -> None:
        self._team = team
        self._told = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self._told = True

    def on_train_batch_end(self, *_: object) -> None:
        if self._team.any(self._told):
            raise SystemExit(STOPPED)

    def on_validation_batch_end(self, *_: object) -> None:
        if self._team.any(self._told):
            raise SystemExit(STOPPED)


class History(pl.Callback):
    """Keeps and reports each epoch's numbers, and stops at a loss that is not finite.

    It is part of the checkpoint, so that the history of a resumed run is complete.
    """

    def __init__(self, report: Callable[[Epoch], None]) -> None:
        self.epochs: list[Epoch] = []
        self._report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = trainer.current_epoch + 1
        # Before the checkpoint is written: Lightning calls ModelCheckpoint last.
        for name in ("train_loss", "val_loss"):
            if name in numbers and not math.isfinite(numbers[name]):
                raise Diverged(f"{name} is {numbers[name]} after epoch {epoch}")
        self.epochs.append({"epoch": epoch, **numbers})
        self._report(self.epochs[-1])

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]


class Counted(pl.Callback):
    """Tells after each batch how many steps of all epochs are done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        self._progress(trainer.global_step, int(trainer.estimated_stepping_batches))
