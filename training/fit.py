"""Training by gradient with Lightning: checkpoints, resuming, progress."""

import logging
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from training.artefact import Task
from training.config import Hyperparameters
from training.data import Batches, LabelledImages
from training.hardware import use_cores_for, uses_bf16
from training.module import ClassifierModule

Epoch = dict[str, float]
"""``epoch`` (from 1), ``train_loss``, ``val_loss``, ``val_accuracy``, ``val_macro_f1``."""

CHECKPOINT = "last.ckpt"


class _History(pl.Callback):
    """Keeps and reports each epoch's numbers. Part of the checkpoint, so that the history of a
    resumed run is whole."""

    def __init__(self, report: Callable[[Epoch], None]) -> None:
        self.epochs: list[Epoch] = []
        self._report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": trainer.current_epoch + 1, **numbers})
        self._report(self.epochs[-1])

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]


def fit(
    net: torch.nn.Module,
    parameters: Hyperparameters,
    *,
    task: Task,
    classes: int,
    train: LabelledImages,
    val: LabelledImages,
    checkpoints: Path,
    report: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train ``net`` in place, from the last checkpoint if there is one.

    A checkpoint is written after each epoch, so a kill at any moment, and SIGTERM (which ends the
    batch at hand, then raises ``SystemExit``), cost one epoch at most. Resumed runs end with
    the very weights of undisturbed ones (on a CPU; sums on a GPU depend on scheduling). No
    checkpoint is taken within an epoch: Lightning's loops do not resume there exactly.

    Args:
        net: images [batch, 3, size, size] in 0…255 → logits; comes back on the CPU.
        checkpoints: folder of this job's checkpoints.
        report: called after each epoch.

    Returns:
        Every epoch's numbers, those before a restart included.
    """
    _quiet_lightning()
    use_cores_for(parameters)
    history = _History(report)
    # One process, one device: what surrounds the training (cache, calibration, export) is
    # written once. Several devices would each need their share of the epoch's batches.
    trainer = pl.Trainer(
        max_epochs=parameters.epochs,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if uses_bf16(parameters) else "32-true",
        callbacks=[history, _checkpoint(checkpoints)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=checkpoints,
    )
    resume = checkpoints / CHECKPOINT
    module = ClassifierModule(net.to(memory_format=torch.channels_last), parameters, task, classes)
    try:
        trainer.fit(
            module,
            Batches(train, parameters.batch_size, shuffle_seed=parameters.seed),
            Batches(val, parameters.batch_size),
            ckpt_path=resume if resume.exists() else None,
            weights_only=True,
        )
    except SIGTERMException:  # would leave with exit code 0
        raise SystemExit(128 + signal.SIGTERM) from None
    net.cpu()
    return history.epochs


def _checkpoint(folder: Path) -> ModelCheckpoint:
    """One file, replaced atomically (Lightning writes beside it and renames)."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(CHECKPOINT).stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _quiet_lightning() -> None:
    """Progress goes through Pipes; Lightning's hints and advertisements go nowhere."""
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
