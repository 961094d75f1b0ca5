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
from training.fitting.losses import loss_of
from training.fitting.watched import MeanOverImages, metrics_for

TrainingBatch = tuple[torch.Tensor, torch.Tensor, int]
"""Images float32 [batch, 3, size, size] in 0…255, targets, number of the batch in its epoch."""


class ClassifierModule(pl.LightningModule):
    """Trains a net with the job's hyperparameters.

    Args:
        net: images float32 [batch, 3, size, size] in 0…255 → logits [batch, classes].
        parameters: of the job.
        task: single_label or multi_label.
        classes: number of labels.
    """

    def __init__(
        self, net: nn.Module, parameters: Hyperparameters, task: Task, classes: int
    ) -> None:
        super().__init__()
        self.net = net
        self.parameters_of_job = parameters
        self.task: Task = task
        self.val_metrics = metrics_for(task, classes)
        self.train_loss, self.val_loss = MeanOverImages(), MeanOverImages()

    def _step(self, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and loss, for training and validation."""
        images, targets, _ = batch
        logits = self.net(images.contiguous(memory_format=torch.channels_last))
        return logits, loss_of(logits, targets, self.task)

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
        _, loss = self._step((augment(images, job.augmentation), targets, number))
        self.train_loss.update(loss, len(images))
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        if trainer.world_size == 1:
            return loss
        # Gradients are averaged over processes, but their shares of a batch may differ by one image.
        batches: Any = trainer.train_dataloader
        return loss * (len(images) * trainer.world_size / batches.size_of(number))

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
        if len(batch[0]):  # a process's share of a small batch may be empty
            logits, loss = self._step(batch)
            self.val_metrics.update(logits, batch[1].int())
            self.val_loss.update(loss, len(logits))
        self.log("val_loss", self.val_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the whole split."""
        self.log_dict({f"val_{k}": v for k, v in self.val_metrics.compute().items()})
        self.val_metrics.reset()

    def configure_optimizers(self) -> Any:
        """Build the chosen optimizer with a one-cycle learning rate (https://arxiv.org/abs/1708.07120)."""
        # The rate is annealed to almost 0 over the run, so that the last epoch of a short run is
        # good, and no best epoch has to be picked on a small validation split.
        job = self.parameters_of_job
        optimizer: torch.optim.Optimizer
        if job.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                self.net.parameters(),
                job.learning_rate,
                momentum=0.9,
                weight_decay=job.weight_decay,
                nesterov=True,
            )
        elif job.optimizer == "rmsprop":
            optimizer = torch.optim.RMSprop(
                self.net.parameters(), job.learning_rate, weight_decay=job.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(
                self.net.parameters(), job.learning_rate, weight_decay=job.weight_decay
            )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, job.learning_rate, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
