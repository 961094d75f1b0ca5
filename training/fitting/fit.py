"""Training by gradient with Lightning: checkpoints, resuming, progress."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from training.artefact.artefact import Task
from training.config import Hyperparameters
from training.container.distributed import ALONE, Team
from training.container.hardware import device, use_cores_for, uses_bf16
from training.data.data import Batches, LabelledImages
from training.errors import PermanentFailure
from training.fitting.checkpoints import CHECKPOINT, AtomicCheckpointIO, drop_damaged
from training.fitting.module import ClassifierModule

Epoch = dict[str, float]
"""``epoch`` (from 1), ``train_loss``, ``val_loss``, ``val_accuracy``, ``val_macro_f1``."""

log = logging.getLogger("training")

_STOPPED = 128 + signal.SIGTERM

_AHEAD = 2
"""Batches prepared while a GPU computes. A CPU has no core to spare for that."""


class _Stop(pl.Callback):
    """Ends all processes of a team in step when one is told to end (SIGTERM).

    Lightning's own handler starts a collective operation in the middle of whatever the process
    does, and waits for one of another kind. This one takes note; after each batch all processes
    ask each other.
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
            raise SystemExit(_STOPPED)

    def on_validation_batch_end(self, *_: object) -> None:
        if self._team.any(self._told):
            raise SystemExit(_STOPPED)


class _History(pl.Callback):
    """Keeps and reports each epoch's numbers, and stops at a loss that is not finite. Part of the
    checkpoint, so that the history of a resumed run is whole."""

    def __init__(self, report: Callable[[Epoch], None], learning_rate: float) -> None:
        self.epochs: list[Epoch] = []
        self._report = report
        self._learning_rate = learning_rate

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.epochs:  # the checkpoint may be one that an older version wrote
            require_finite(self.epochs[-1], self._learning_rate)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": trainer.current_epoch + 1, **numbers})
        self._report(self.epochs[-1])
        # Before the checkpoint is written: Lightning calls ModelCheckpoint last.
        require_finite(self.epochs[-1], self._learning_rate)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]


def require_finite(epoch: Epoch, learning_rate: float) -> None:
    """Stop a training whose loss is not finite: no later epoch brings the weights back.

    Raises:
        PermanentFailure: a loss of ``epoch`` is infinite or not a number.
    """
    for name in ("train_loss", "val_loss"):
        if name in epoch and not math.isfinite(epoch[name]):
            raise PermanentFailure(
                f"the training diverged: {name} is {epoch[name]} after epoch {epoch['epoch']:.0f}; "
                f"lower learning_rate (now {learning_rate:g}) under [training] in imgclf.toml"
            )


def fit(
    net: torch.nn.Module,
    parameters: Hyperparameters,
    *,
    task: Task,
    classes: int,
    train: LabelledImages,
    val: LabelledImages,
    checkpoints: Path,
    scratch: Path,
    report: Callable[[Epoch], None],
    team: Team = ALONE,
) -> list[Epoch]:
    """Train ``net`` in place, from the last checkpoint if there is one.

    A checkpoint is written after each epoch, so a kill at any moment, and SIGTERM (which ends the
    batch at hand, then raises ``SystemExit``), cost one epoch at most. Resumed runs end with
    the very weights of undisturbed ones (on a CPU; sums on a GPU depend on scheduling). No
    checkpoint is taken within an epoch: Lightning's loops do not resume there exactly.

    A team does the same steps as one process would: ``batch_size`` is that of all processes
    together, each takes its share of every batch, and the gradients are those of the whole batch.
    What differs is chance (augmentation, dropout), rounding and, on CPUs, that each process
    normalises its share of a batch by itself (PyTorch's SyncBatchNorm needs GPUs).

    Args:
        net: images [batch, 3, size, size] in 0…255 → logits; comes back on the CPU.
        checkpoints: folder of this job's checkpoints; only the first machine's counts.
        scratch: folder for a copy of the checkpoint on the other machines.
        report: called after each epoch.

    Returns:
        Every epoch's numbers, those before a restart included.

    Raises:
        PermanentFailure: there are more processes than images in a batch, or the loss of an epoch
            is not finite.
    """
    _quiet_lightning()
    use_cores_for(parameters)
    history = _History(report, parameters.learning_rate)
    on_gpu = device().type == "cuda"
    trainer = pl.Trainer(
        max_epochs=parameters.epochs,
        precision="bf16-mixed" if uses_bf16(parameters) else "32-true",
        callbacks=[history, _checkpoint(checkpoints), *([_Stop(team)] if team.size > 1 else [])],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=checkpoints,
        **_devices(team, on_gpu=on_gpu),
    )
    module = ClassifierModule(net.to(memory_format=torch.channels_last), parameters, task, classes)
    batches = partial(
        Batches,
        batch_size=parameters.batch_size,
        share=(team.rank, team.size),
        ahead=_AHEAD if on_gpu else 0,
    )
    training = batches(train, shuffle_seed=parameters.seed)
    _require_a_share_for_all(training, team)
    saved = checkpoints / CHECKPOINT
    team.agree(lambda: drop_damaged(saved) if team.leads else None)
    try:
        with _sigterm_left_to_lightning():
            trainer.fit(
                module,
                training,
                batches(val),
                ckpt_path=team.leaders_file(saved, scratch / CHECKPOINT),
                weights_only=True,
            )
    except SIGTERMException:  # would leave with exit code 0
        raise SystemExit(_STOPPED) from None
    net.cpu()
    return history.epochs


def _devices(team: Team, *, on_gpu: bool) -> dict[str, Any]:
    """What of the Trainer's arguments hangs on the machines."""
    if team.size == 1:
        return {"accelerator": "auto", "devices": 1}
    return {
        "accelerator": "gpu" if on_gpu else "cpu",
        "devices": team.local_size,
        "num_nodes": team.machines,
        # Of some architectures a layer is left unused; a static graph allows for that.
        "strategy": DDPStrategy(static_graph=True, gradient_as_bucket_view=True),
        "sync_batchnorm": on_gpu,
    }


def _require_a_share_for_all(batches: Batches, team: Team) -> None:
    smallest = batches.size_of(len(batches) - 1)
    if team.size > smallest:
        raise PermanentFailure(
            f"{team.size} processes cannot share batches of {smallest} images: raise batch_size "
            "under [training] in imgclf.toml, or take fewer instances or GPUs"
        )


@contextmanager
def _sigterm_left_to_lightning() -> Iterator[None]:
    """Lightning, which ends the batch at hand, would also call a handler that was there before."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _checkpoint(folder: Path) -> ModelCheckpoint:
    """One file, of the newest epoch."""
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
