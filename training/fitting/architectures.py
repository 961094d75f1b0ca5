"""The classifiers: a small net for ``scratch``, pretrained backbones for ``probe`` and ``finetune``.

Every net is a ``Classifier``: normalisation, a backbone that turns images into feature vectors,
and one linear layer.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from training.backbones.sources import (
    NetSource,
    Weights,
    download_weights,
    net_source,
    read_weights,
)
from training.backbones.weights import nets_of
from training.config import Hyperparameters
from training.errors import PermanentFailure
from training.images.preprocessing import Preprocessing

SMALL_NET = "small_convnet"
SMALL_NET_SIZE = 160
"""Width and height of the small net's images in pixels, unless ``image_size`` is set."""


class Classifier(nn.Module):
    """Normalisation, backbone, linear head.

    Args:
        backbone: float32 [batch, 3, size, size], normalised → [batch, features].
        features: length of the backbone's feature vectors.
        classes: number of labels.
        preprocessing: gives mean and standard deviation, image size, interpolation and resize.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        classes: int,
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - it is immutable
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(features, classes)
        self.preprocessing = preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1) * 255)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Compute features: float32 [batch, 3, size, size] in 0…255 → [batch, features]."""
        return self.backbone((images - self.mean) / self.std).flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits: float32 [batch, 3, size, size] in 0…255 → [batch, classes]."""
        return self.head(self.embed(images))


class Concatenation(nn.Module):
    """Several backbones, whose features are concatenated; each has its own normalisation and size.

    Args:
        backbones: each float32 [batch, 3, side, side], normalised → [batch, features].
        preprocessing: of each backbone.
    """

    def __init__(
        self, backbones: Sequence[nn.Module], preprocessing: Sequence[Preprocessing]
    ) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.sizes = [one.size for one in preprocessing]
        for number, one in enumerate(preprocessing):
            self.register_buffer(f"mean{number}", torch.tensor(one.mean).view(1, 3, 1, 1) * 255)
            self.register_buffer(f"std{number}", torch.tensor(one.std).view(1, 3, 1, 1) * 255)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute features: float32 [batch, 3, size, size] in 0…255 → [batch, sum of features]."""
        features = []
        for number, (backbone, size) in enumerate(zip(self.backbones, self.sizes, strict=True)):
            resized = images
            if images.shape[-1] != size:
                resized = functional.interpolate(
                    images, size=(size, size), mode="bilinear", antialias=True
                )
            mean, std = self.get_buffer(f"mean{number}"), self.get_buffer(f"std{number}")
            features.append(backbone((resized - mean) / std).flatten(1))
        return torch.cat(features, dim=1)


def build(
    parameters: Hyperparameters,
    classes: int,
    weights: Sequence[Weights | None] = (),
) -> Classifier:
    """Build the net of a job; equal ``parameters`` give equal shapes of the state dict.

    Args:
        parameters: recipe, architecture and image size are used.
        classes: number of labels.
        weights: state dict of each whole net of the architecture, from ``load_weights``; ``None``
            or too few: random.

    Raises:
        PermanentFailure: the architecture is unknown or cannot take this image size, or the weights
            are another net's.
    """
    if parameters.recipe == "scratch":
        preprocessing = Preprocessing(
            size=parameters.image_size or SMALL_NET_SIZE, resize=parameters.resize
        )
        return Classifier(_small_backbone(), _SMALL_WIDTHS[-1], classes, preprocessing)
    sources = [net_source(name) for name in nets_of(parameters.architecture)]
    given = [*weights, *[None] * (len(sources) - len(weights))]
    built = _sized_backbones(sources, given, parameters.image_size)
    if len(built) == 1:
        ((backbone, features, own),) = built
        return Classifier(backbone, features, classes, replace(own, resize=parameters.resize))
    if parameters.recipe != "probe":
        raise PermanentFailure(
            f"recipe {parameters.recipe!r} trains one net, not {parameters.architecture!r}; name one "
            'as architecture under [training] in imgclf.toml, or set recipe = "probe"'
        )
    each = [one for _, _, one in built]
    largest = max(each, key=lambda one: one.size)
    plain = replace(largest, mean=(0, 0, 0), std=(1 / 255,) * 3, resize=parameters.resize)
    backbone = Concatenation([backbone for backbone, _, _ in built], each)
    return Classifier(backbone, sum(features for _, features, _ in built), classes, plain)


def _sized_backbones(
    sources: Sequence[NetSource], weights: Sequence[Weights | None], asked: int | None
) -> list[tuple[nn.Module, int, Preprocessing]]:
    """Build the backbones of a job, see ``_sized_backbone``.

    Args:
        sources: the nets.
        weights: of each net.
        asked: width and height of the images in pixels; ``None``: those of the net's pretraining, of
            several nets the smallest, so that an image is resized once.
    """
    own = [source.preprocessing.size for source in sources]

    def built(sizes: Sequence[int]) -> list[tuple[nn.Module, int, Preprocessing]]:
        parts = zip(sources, sizes, weights, strict=True)
        return [_sized_backbone(source, size, state) for source, size, state in parts]

    if len(sources) == 1:
        return built([asked or own[0]])
    if asked is not None:
        # A finished model is built again with the size of its largest net: models of older versions
        # have nets of several sizes.
        return built([min(size, asked) for size in own])
    try:
        return built([min(own)] * len(own))
    except PermanentFailure:
        if len(set(own)) == 1:
            raise
        return built(own)  # a net that takes no other size, as some transformers


def _sized_backbone(
    source: NetSource, size: int, weights: Weights | None
) -> tuple[nn.Module, int, Preprocessing]:
    """Build a backbone for images of ``size`` × ``size`` pixels.

    Returns:
        The backbone, the length of its features, and the preprocessing.
    """
    preprocessing = replace(source.preprocessing, size=size)
    try:
        backbone = source.build(preprocessing.size, weights)
    except (AssertionError, ValueError) as error:
        raise _wrong_size(source.name, preprocessing.size, error) from error
    return backbone, _feature_count(backbone, source.name, preprocessing.size), preprocessing


def load_weights(
    parameters: Hyperparameters, files: Sequence[Path | None]
) -> tuple[Weights | None, ...]:
    """Load a job's pretrained weights, each from its file, else by a download.

    Args:
        parameters: of the job.
        files: file of weights of each net of the architecture; ``None``: there is none here.

    Returns:
        A state dict of each net; nothing for a job that starts from random weights.

    Raises:
        WeightsUnavailable: there is no file, and the download failed.
        PermanentFailure: a file is not a state dict.
    """
    if not parameters.uses_weights:
        return ()
    return tuple(
        download_weights(net_source(net)) if path is None else read_weights(net, path)
        for net, path in zip(nets_of(parameters.architecture), files, strict=True)
    )


def architecture_name(parameters: Hyperparameters) -> str:
    """Return the net's name in the artefact's manifest."""
    return SMALL_NET if parameters.recipe == "scratch" else parameters.architecture


_SMALL_WIDTHS = (16, 48, 96)


def _small_backbone() -> nn.Module:
    """Build three stages of two 3 × 3 convolutions, with stride 2 between stages, and mean pooling.

    For images of at least 8 × 8 pixels; about 0.16 M parameters.
    """
    layers: list[nn.Module] = []
    inputs = 3
    for stage, width in enumerate(_SMALL_WIDTHS):
        for step in range(2):
            stride = 2 if stage and not step else 1
            layers += [
                nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))


@torch.no_grad()
def _feature_count(backbone: nn.Module, name: str, size: int) -> int:
    """Return the length of the features, found by a trial, which works for every net."""
    backbone.eval()
    try:
        return int(backbone(torch.zeros(1, 3, size, size)).flatten(1).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        raise _wrong_size(name, size, error) from error
    finally:
        backbone.train()


def _wrong_size(name: str, size: int, error: Exception) -> PermanentFailure:
    return PermanentFailure(
        f"architecture {name!r} cannot take images of {size} × {size} pixels ({error}); take "
        "image_size out of imgclf.toml (each net has a size of its own), or choose another "
        "architecture"
    )
