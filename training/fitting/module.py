"""The Lightning module of the gradient-based recipes: scratch and finetune."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.artefact.artefact import Task
from training.config import Hyperparameters
from training.data.augmentation import augment
from training.fitting.layers import batch_norms, freeze_first, parameter_groups, warm_up_and_cosine
from training.fitting.losses import loss_of, training_loss
from training.fitting.mixing import mixed
from training.fitting.recovery import Recovery
from training.fitting.watched import MeanOverImages, metrics_for

TrainingBatch = tuple[torch.Tensor, torch.Tensor, int]
"""Images float32 [batch, 3, size, size] in 0…255, targets, number of the batch in its epoch."""

_GROWING = 2 / 3
"""Share of the epochs in which the image size grows."""

_STRIDE = 32
"""Image sizes of progressive resizing are multiples of this many pixels, as nets shrink by it."""


class ClassifierModule(pl.LightningModule):
    """Trains a net with the job's hyperparameters.

    Attributes:
        batch_loss: training loss of the last batch, a scalar tensor.

    Args:
        net: images float32 [batch, 3, size, size] in 0…255 → logits [batch, classes].
        parameters: of the job.
        task: single_label or multi_label.
        classes: number of labels.
        class_weights: float32 [classes], of the training loss; ``None``: all 1.
        recovery: what earlier faults have changed.
    """

    batch_loss: torch.Tensor

    def __init__(
        self,
        net: nn.Module,
        parameters: Hyperparameters,
        task: Task,
        classes: int,
        class_weights: torch.Tensor | None = None,
        recovery: Recovery = Recovery(),  # noqa: B008 - it is immutable
    ) -> None:
        super().__init__()
        self.net = net
        self.parameters_of_job, self.recovery = parameters, recovery
        self.task: Task = task
        self.classes = classes
        self.val_metrics = metrics_for(task, classes)
        self.train_loss, self.val_loss = MeanOverImages(), MeanOverImages()
        self.register_buffer("class_weights", class_weights, persistent=False)
        freeze_first(net, parameters.frozen_layers)
        self._frozen = batch_norms(net, only_frozen=not parameters.frozen_statistics)
        self.train()  # Lightning keeps the mode of each layer

    def train(self, mode: bool = True) -> "ClassifierModule":
        """Set the training mode, but for batch normalisations that keep their statistics."""
        super().train(mode)
        for name in self._frozen:
            self.net.get_submodule(name).eval()
        return self

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(images.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def on_train_epoch_start(self) -> None:
        """Set the epoch of the batches before the first one is drawn."""
        batches: Any = self.trainer.train_dataloader
        batches.set_epoch(self.current_epoch)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> torch.Tensor:
        """Compute the loss of a batch of augmented images.

        Random numbers depend only on (seed, epoch, batch, process), so that a resumed run draws the
        same as an uninterrupted one.
        """
        images, targets, number = batch
        job, trainer = self.parameters_of_job, self.trainer
        process = (trainer.global_rank,) if trainer.global_rank else ()
        chance = np.random.SeedSequence((job.seed, self.current_epoch, number, *process))
        torch.manual_seed(int(chance.generate_state(1)[0]))
        size = size_at(self.current_epoch, job, images.shape[-1])
        images = augment(images, job.augmentation, size)
        images, targets = mixed(
            images, targets, mixup=job.mixup, cutmix=job.cutmix, classes=self.classes
        )
        loss = training_loss(
            self._logits(images),
            targets,
            self.task,
            smoothing=job.label_smoothing,
            weights=self.class_weights,
        )
        self.batch_loss = loss.detach()
        self.train_loss.update(loss, len(images))
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        return loss * self._share_of_step(len(images), number)

    def _share_of_step(self, images: int, number: int) -> float:
        """Return the factor by which a loss counts, so that the step's is the mean over its images.

        Lightning divides by the number of parts and of processes, but their images may differ by one.

        Args:
            images: of this part and process.
            number: of the part in its epoch.
        """
        processes, parts = self.trainer.world_size, self.recovery.parts
        if processes == parts == 1:
            return 1.0
        batches: Any = self.trainer.train_dataloader
        first = number - number % parts
        last = min(first + parts, len(batches))
        return images * processes * parts / (batches.start_of(last) - batches.start_of(first))

    @torch.no_grad()
    def on_validation_epoch_start(self) -> None:
        """Average the running statistics of batch normalisation over the processes."""
        if self.trainer.world_size > 1:
            for module in self.net.modules():
                if isinstance(module, _BatchNorm) and module.track_running_stats:
                    for seen in (module.running_mean, module.running_var):
                        seen.copy_(self.trainer.strategy.reduce(seen, reduce_op="mean"))

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Update loss and metrics with a batch of the validation split."""
        images, targets, _ = batch
        if len(images):  # a process's share of a small batch may be empty
            logits = self._logits(images)
            self.val_metrics.update(logits, targets.int())
            self.val_loss.update(loss_of(logits, targets, self.task), len(logits))
        self.log("val_loss", self.val_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the whole split."""
        self.log_dict({f"val_{k}": v for k, v in self.val_metrics.compute().items()})
        self.val_metrics.reset()

    def configure_optimizers(self) -> Any:
        """Build the chosen optimizer, whose learning rate warms up and falls along a cosine."""
        job = self.parameters_of_job
        groups = parameter_groups(
            self.net,
            rate=job.learning_rate,
            weight_decay=job.weight_decay,
            layer_decay=job.layer_decay,
        )
        optimizer: torch.optim.Optimizer
        if job.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, job.learning_rate, momentum=0.9, nesterov=True)
        elif job.optimizer == "rmsprop":
            optimizer = torch.optim.RMSprop(groups, job.learning_rate)
        else:
            optimizer = torch.optim.AdamW(groups, job.learning_rate)
        steps, factor = int(self.trainer.estimated_stepping_batches), self.recovery.rate_factor
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: factor * warm_up_and_cosine(step, steps, job.warm_up)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Set the learning rates anew: those of the checkpoint may be from before a halving."""
        optimizer, schedule = self.optimizers(use_pl_optimizer=False), self.lr_schedulers()
        for group, rate, share in zip(
            optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
        ):
            group["lr"] = rate * share(schedule.last_epoch)


def size_at(epoch: int, parameters: Hyperparameters, full: int) -> int:
    """Return the width and height in pixels of the training images of an epoch, from 0.

    Args:
        epoch: number of the epoch, from 0.
        parameters: of the job.
        full: width and height in pixels at the end.
    """
    growing = max(1.0, _GROWING * parameters.epochs)
    share = parameters.start_size + (1 - parameters.start_size) * min(1.0, epoch / growing)
    return full if share >= 1 else min(full, max(_STRIDE, round(share * full / _STRIDE) * _STRIDE))
