"""Gradient-based training with Lightning: checkpoints, resuming, progress."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from training.data.data import Batches, LabelledImages, Progress
from training.errors import PermanentFailure
from training.fitting.checkpoints import CHECKPOINT, AtomicCheckpointIO, drop_damaged
from training.fitting.depthwise import float32_depthwise
from training.fitting.module import ClassifierModule

Epoch = dict[str, float]
"""``epoch`` (from 1), ``train_loss``, ``val_loss``, ``val_accuracy``, ``val_macro_f1``."""

log = logging.getLogger("training")

_STOPPED = 128 + signal.SIGTERM

_AHEAD = 2
"""Batches that are prepared while a GPU computes; none on a CPU, which has no free core."""


class _Stop(pl.Callback):
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
            raise SystemExit(_STOPPED)

    def on_validation_batch_end(self, *_: object) -> None:
        if self._team.any(self._told):
            raise SystemExit(_STOPPED)


class _History(pl.Callback):
    """Keeps and reports each epoch's numbers, and stops at a loss that is not finite.

    It is part of the checkpoint, so that the history of a resumed run is complete.
    """

    def __init__(self, report: Callable[[Epoch], None], learning_rate: float) -> None:
        self.epochs: list[Epoch] = []
        self._report = report
        self._learning_rate = learning_rate

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.epochs:  # the checkpoint may be of an older version, which did not check
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


class _Counted(pl.Callback):
    """Tells after each batch how many steps of all epochs are done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        self._progress(trainer.global_step, int(trainer.estimated_stepping_batches))


def require_finite(epoch: Epoch, learning_rate: float) -> None:
    """Check that an epoch's losses are finite; training cannot recover from others.

    Args:
        epoch: numbers of the epoch.
        learning_rate: of the job, for the message.

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
    progress: Progress = lambda done, total: None,
    team: Team = ALONE,
) -> list[Epoch]:
    """Train ``net`` in place, from the last checkpoint if there is one.

    A checkpoint is written after each epoch, so an interruption costs one epoch at most. SIGTERM
    ends the current batch, then raises ``SystemExit``. Resumed runs end with the same weights as
    uninterrupted ones (on a CPU; sums on a GPU depend on scheduling).

    A team takes the same steps as one process: each process takes its share of every batch, and the
    gradients are those of the whole batch. Differences are random numbers (augmentation, dropout),
    rounding and, on CPUs, batch normalisation over each process's share (PyTorch's SyncBatchNorm
    needs GPUs).

    Args:
        net: images float32 [batch, 3, size, size] in 0…255 → logits [batch, classes]; is on the
            CPU afterwards.
        parameters: of the job; ``batch_size`` is that of all processes together.
        task: single_label or multi_label.
        classes: number of labels.
        train: images to train on.
        val: images for the validation metrics.
        checkpoints: folder of this job's checkpoints; only the first machine's counts.
        scratch: folder for a copy of the checkpoint on the other machines.
        report: called with each epoch's numbers.
        progress: called after each step with the numbers of steps done and in all.
        team: the processes that train together.

    Returns:
        Every epoch's numbers, those before a restart included.

    Raises:
        PermanentFailure: there are more processes than images in a batch, or the loss of an epoch
            is not finite.
    """
    # No checkpoint is written within an epoch: Lightning's loops do not resume there exactly.
    _quiet_lightning()
    use_cores_for(parameters)
    history = _History(report, parameters.learning_rate)
    on_gpu = device().type == "cuda"
    told = [history, _Counted(progress)]
    trainer = _trainer(parameters, told, checkpoints, team, on_gpu=on_gpu)
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
        on_cpu = not on_gpu and uses_bf16(parameters)
        with _sigterm_left_to_lightning(), float32_depthwise(net, on=on_cpu):
            resumed = team.leaders_file(saved, scratch / CHECKPOINT)
            trainer.fit(module, training, batches(val), ckpt_path=resumed, weights_only=True)
    except SIGTERMException:  # would leave with exit code 0
        raise SystemExit(_STOPPED) from None
    net.cpu()
    return history.epochs


def _trainer(
    parameters: Hyperparameters,
    told: Sequence[pl.Callback],
    checkpoints: Path,
    team: Team,
    *,
    on_gpu: bool,
) -> pl.Trainer:
    """Build Lightning's trainer, which writes a checkpoint after each epoch.

    Args:
        parameters: of the job.
        told: callbacks that tell of the training.
        checkpoints: folder of this job's checkpoints.
        team: the processes that train together.
        on_gpu: whether it trains on GPUs.
    """
    return pl.Trainer(
        max_epochs=parameters.epochs,
        precision="bf16-mixed" if uses_bf16(parameters) else "32-true",
        callbacks=[*told, _checkpoint(checkpoints), *([_Stop(team)] if team.size > 1 else [])],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=checkpoints,
        **_devices(team, on_gpu=on_gpu),
    )


def _devices(team: Team, *, on_gpu: bool) -> dict[str, Any]:
    """Return the Trainer's arguments that depend on the machines."""
    if team.size == 1:
        return {"accelerator": "auto", "devices": 1}
    return {
        "accelerator": "gpu" if on_gpu else "cpu",
        "devices": team.local_size,
        "num_nodes": team.machines,
        # Some architectures have an unused layer, which a static graph allows.
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
    """Remove the handler of SIGTERM for a block, since Lightning's would call it, too."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _checkpoint(folder: Path) -> ModelCheckpoint:
    """Build the callback that keeps one file, of the newest epoch."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(CHECKPOINT).stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _quiet_lightning() -> None:
    """Silence Lightning's own messages; progress is reported through Pipes."""
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
