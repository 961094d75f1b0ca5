"""Features of a frozen backbone, by the fastest runtime of the machine."""

from collections.abc import Callable

import numpy as np
import torch

from training.container.distributed import ALONE, Team
from training.container.hardware import device
from training.data.data import LabelledImages
from training.fitting.architectures import Classifier
from training.fitting.cpu_features import WORTH_IMAGES, openvino_features
from training.fitting.sweep import sweep


class FeatureExtractor:
    """Computes the features of several lots of images, which all have the size of the first.

    Many images on a CPU are computed by OpenVINO, for which the net is converted once.

    Args:
        net: its backbone computes the features; its weights must not change.
        images: number of images of all lots whose features have to be computed.
        bf16: whether to compute in bfloat16.
        team: the processes that share the work.
    """

    def __init__(self, net: Classifier, *, images: int, bf16: bool, team: Team = ALONE) -> None:
        self._net, self._images, self._bf16, self._team = net.eval(), images, bf16, team
        self._converted: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._is_asked = False

    def __call__(
        self, split: LabelledImages, report: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        """Compute the features of a lot; those that it knows already are taken from it.

        Args:
            split: n images.
            report: called with the number of images done, about.

        Returns:
            float32 [n, features]; complete only on the team's first process.
        """
        if split.features is None:
            return self._computed(split, report)
        found, unknown = split.features.astype(np.float32), split.unknown()
        if len(unknown):
            found[unknown] = self._computed(split.only(unknown), report)
        return found

    def _computed(self, split: LabelledImages, report: Callable[[int], None]) -> np.ndarray:
        """Compute the features of all images of a lot; see ``sweep``."""
        place, width = device(), self._net.head.in_features
        if place.type == "cpu" and self._images >= WORTH_IMAGES and not self._is_asked:
            self._is_asked = True
            size = split.images.shape[1]
            self._converted = openvino_features(self._net, size=size, bf16=self._bf16)
        if self._converted is not None:
            compute, team = self._converted, self._team
            return sweep(compute, split, width, team=team, report=report, channels_last=False)
        net = self._net.to(place, memory_format=torch.channels_last)

        def features(images: torch.Tensor) -> torch.Tensor:
            with torch.autocast(place.type, torch.bfloat16, enabled=self._bf16):
                return net.embed(images)

        found = sweep(features, split, width, team=self._team, report=report)
        net.cpu()
        return found
