"""Gradient-based training with Lightning: checkpoints, resuming, recovery from faults."""

import copy
import gc
import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from training.fitting.averaging import MovingAverage
from training.fitting.best_epoch import BestEpoch
from training.fitting.callbacks import STOPPED, Counted, Epoch, History, Stop
from training.fitting.checkpoints import CHECKPOINT, AtomicCheckpointIO, drop_damaged
from training.fitting.depthwise import float32_depthwise
from training.fitting.losses import class_weights, guessing_loss
from training.fitting.module import ClassifierModule
from training.fitting.recovery import Diverged, Recovery, Watch, is_out_of_memory

log = logging.getLogger("training")

_AHEAD = 2
"""Batches that are prepared while a GPU computes; none on a CPU, which has no free core."""


@dataclass(frozen=True)
class Trained:
    """What a training did.

    Attributes:
        epochs: every epoch's numbers, those before a restart included.
        facts: numbers for the metadata: ``learning_rate_factor`` and ``parts_of_batch`` after faults,
            ``best_epoch`` of an early stop.
    """

    epochs: list[Epoch]
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """The number of the epoch whose weights were kept, from 1."""
        return int(self.facts.get("best_epoch", self.epochs[-1]["epoch"]))

    @property
    def kept_text(self) -> str:
        """Say which weights were kept; "" for those of the last epoch."""
        last = int(self.epochs[-1]["epoch"])
        if self.kept == last:
            return ""
        return (
            f"the weights of epoch {self.kept} of {last} are kept, whose validation loss is the least; "
            "all scores of the model are theirs"
        )

    @property
    def val_loss(self) -> float:
        """The validation loss of the weights that were kept."""
        return next(epoch["val_loss"] for epoch in self.epochs if epoch["epoch"] == self.kept)


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
    start: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = log.warning,
    team: Team = ALONE,
) -> Trained:
    """Train ``net`` in place, from the last checkpoint if there is one.

    A checkpoint is written after each epoch, so an interruption costs one epoch at most. SIGTERM
    ends the current batch, then raises ``SystemExit``. Resumed runs end with the same weights as
    uninterrupted ones (on a CPU; sums on a GPU depend on scheduling).

    A training that diverges goes on from its last checkpoint with half the learning rate, once; one
    that runs out of memory goes on from there with batches in smaller parts, whose gradients are
    added.

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
        start: called before the first step of a training that is not resumed; may change ``net``.
        warn: called with what a fault has changed.
        team: the processes that train together.

    Raises:
        PermanentFailure: there are more processes than images in a batch, the training diverges also
            with half the learning rate, or the memory is too small for two images.
    """
    # No checkpoint is written within an epoch: Lightning's loops do not resume there exactly.
    _quiet_lightning()
    use_cores_for(parameters)
    net.to(memory_format=torch.channels_last)
    initial: dict[str, torch.Tensor] = {}
    recovery, saved = Recovery(), checkpoints / CHECKPOINT
    while True:
        team.agree(lambda: drop_damaged(saved) if team.leads else None)
        resumed = team.leaders_file(saved, scratch / CHECKPOINT)
        if resumed is None and not initial:
            start()
            initial = copy.deepcopy(net.state_dict())
        elif resumed is None:
            net.load_state_dict(initial)
        else:
            recovery = recovery.joined(Recovery.of_file(resumed))
        attempt = _Attempt(
            net,
            parameters,
            task,
            classes,
            train,
            val,
            checkpoints,
            (History(report), Counted(progress)),
            team,
            recovery,
        )
        try:
            return attempt.run(resumed)
        except Diverged as error:
            recovery = recovery.after_divergence(str(error), parameters)
            warn(f"{error}: {_again(saved)} with half the learning rate")
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            recovery = recovery.after_memory(error, parameters, team)
            warn(
                f"out of memory: {_again(saved)}; each batch of {parameters.batch_size} images is "
                f"computed in {recovery.parts} parts, whose gradients are added"
            )
        del attempt
        gc.collect()  # what the failed attempt held
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _again(checkpoint: Path) -> str:
    if checkpoint.exists():
        return "training goes on from the last checkpoint"
    return "training begins again"


@dataclass
class _Attempt:
    """One try to train to the end; the attributes are as in ``fit``."""

    net: torch.nn.Module
    parameters: Hyperparameters
    task: Task
    classes: int
    train: LabelledImages
    val: LabelledImages
    checkpoints: Path
    told: tuple[History, pl.Callback]
    team: Team
    recovery: Recovery

    def run(self, resumed: Path | None) -> Trained:
        """Train from a checkpoint, or (``None``) from the weights of the net.

        Raises:
            Diverged: the loss is not finite, or grows.
        """
        on_gpu, job = device().type == "cuda", self.parameters
        average = MovingAverage(job.ema_decay) if job.ema_decay else None
        weights_now = average.net_state if average else self.net.state_dict
        best = BestEpoch(job.patience, weights_now) if job.patience else None
        watch = Watch(self.recovery, guessing_loss(self.task, self.classes), self.team)
        # In this order: a checkpoint is only of an epoch whose losses are finite.
        callbacks = [watch, *self.told, *filter(None, [average, best])]
        weights = class_weights(self.train.targets, self.classes, job.class_weights, self.task)
        module = ClassifierModule(self.net, job, self.task, self.classes, weights, self.recovery)
        training = self._batches(self.train, on_gpu=on_gpu, seed=job.seed)
        _require_a_share_for_all(training, self.team)
        trainer = self._trainer(callbacks, on_gpu=on_gpu)
        try:
            on_cpu = not on_gpu and uses_bf16(job)
            with _sigterm_left_to_lightning(), float32_depthwise(self.net, on=on_cpu):
                val = self._batches(self.val, on_gpu=on_gpu)
                trainer.fit(module, training, val, ckpt_path=resumed, weights_only=True)
        except SIGTERMException:  # would leave with exit code 0
            raise SystemExit(STOPPED) from None
        self.net.cpu()
        # Lightning does not set the average where the checkpoint was the end of the training.
        self.net.load_state_dict(best.weights if best else weights_now())
        return Trained(self.told[0].epochs, self._facts(best))

    def _facts(self, best: BestEpoch | None) -> dict[str, float]:
        found = {
            "learning_rate_factor": self.recovery.rate_factor,
            "parts_of_batch": float(self.recovery.parts),
        }
        return found | ({"best_epoch": float(best.epoch)} if best else {})

    def _batches(self, split: LabelledImages, *, on_gpu: bool, seed: int | None = None) -> Batches:
        return Batches(
            split,
            -(-self.parameters.batch_size // self.recovery.parts),
            shuffle_seed=seed,
            share=(self.team.rank, self.team.size),
            ahead=_AHEAD if on_gpu else 0,
        )

    def _trainer(self, callbacks: Sequence[pl.Callback], *, on_gpu: bool) -> pl.Trainer:
        """Build Lightning's trainer, which writes a checkpoint after each epoch."""
        stop = [Stop(self.team)] if self.team.size > 1 else []
        return pl.Trainer(
            max_epochs=self.parameters.epochs,
            precision="bf16-mixed" if uses_bf16(self.parameters) else "32-true",
            accumulate_grad_batches=self.recovery.parts,
            callbacks=[*callbacks, _checkpoint(self.checkpoints), *stop],
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=self.checkpoints,
            **_devices(self.team, on_gpu=on_gpu),
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
