"""A tiny training, for tests of the gradient-based recipes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.fitting.architectures import Classifier
from training.fitting.fit import Trained, fit
from training.images.preprocessing import Preprocessing

SIDE, CLASSES = 8, 3
SMALL = {"batch_size": 6, "epochs": 3, "image_size": SIDE, "precision": "32"}


def images(count: int, seed: int = 0) -> LabelledImages:
    """Images whose brightest channel is their label."""
    draw = np.random.default_rng(seed)
    targets = np.arange(count) % CLASSES
    pixels = draw.integers(0, 128, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[np.arange(count), :, :, targets] += 100
    return LabelledImages(pixels, targets, pa.table({"raw_key": [str(i) for i in range(count)]}))


def tiny_net() -> Classifier:
    """Two convolutions with batch normalisation, and a head."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 4), (4, 8)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(backbone, 8, CLASSES, Preprocessing(size=SIDE))


@dataclass
class Training:
    """A training in a folder; ``told`` are the epochs that it has told, ``warnings`` the faults."""

    folder: Path
    parameters: Hyperparameters
    told: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    net: nn.Module = field(default_factory=tiny_net)

    def run(self, after_epoch: Callable[[int], None] = lambda epoch: None, **given: Any) -> Trained:
        """Train from the checkpoint, if there is one; ``given`` are further arguments of ``fit``."""

        def report(epoch: dict[str, float]) -> None:
            self.told.append(int(epoch["epoch"]))
            after_epoch(int(epoch["epoch"]))

        arguments: dict[str, Any] = {"train": images(19), "val": images(6, seed=1)} | given
        return fit(
            self.net,
            self.parameters,
            task="single_label",
            classes=CLASSES,
            checkpoints=self.folder / "checkpoints",
            scratch=self.folder / "scratch",
            report=report,
            warn=self.warnings.append,
            **arguments,
        )


def training(folder: Path, **changes: Any) -> Training:
    """A training of ``tiny_net`` with recipe finetune and small numbers."""
    return Training(folder, Hyperparameters(recipe="finetune", **(SMALL | changes)))
