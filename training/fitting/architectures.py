"""The nets: a small one for ``scratch``, torchvision's for ``probe`` and ``finetune``.

Every net is a ``Classifier``: normalisation, a backbone that turns images into feature vectors,
and one linear layer.
"""

import pickle
import socket
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from torch import nn

from training.config import Hyperparameters
from training.errors import PermanentFailure, WeightsUnavailable
from training.images.preprocessing import MEAN, STD

SMALL_NET = "small_convnet"
_DOWNLOAD_TIMEOUT_S = 30.0


class Classifier(nn.Module):
    """Normalisation, backbone, linear head.

    Args:
        backbone: float32 [batch, 3, size, size], normalised → [batch, features].
        features: length of the backbone's feature vectors.
        classes: number of labels.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(features, classes)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Compute features: float32 [batch, 3, size, size] in 0…255 → [batch, features]."""
        return self.backbone((images - self.mean) / self.std).flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits: float32 [batch, 3, size, size] in 0…255 → [batch, classes]."""
        return self.head(self.embed(images))


def build(
    parameters: Hyperparameters, classes: int, weights: Mapping[str, torch.Tensor] | None = None
) -> Classifier:
    """Build the net of a job; equal ``parameters`` give equal shapes of the state dict.

    Args:
        parameters: recipe, architecture and image size are used.
        classes: number of labels.
        weights: state dict of the whole torchvision net, from ``load_weights``; ``None``: random.

    Raises:
        PermanentFailure: the architecture is unknown or cannot take this image size, or the weights
            are another net's.
    """
    if parameters.recipe == "scratch":
        return Classifier(_small_backbone(), _SMALL_WIDTHS[-1], classes)
    backbone = _torchvision_net(parameters.architecture)
    if weights is not None:
        _load(backbone, weights, parameters.architecture)
    _behead(backbone, parameters.architecture)
    return Classifier(backbone, _feature_count(backbone, parameters), classes)


def load_weights(
    parameters: Hyperparameters, folder: Path | None
) -> dict[str, torch.Tensor] | None:
    """Load a job's pretrained weights: ``<architecture>.pth`` in ``folder``, else a download.

    Returns:
        The state dict; ``None`` for a job that starts from random weights.

    Raises:
        WeightsUnavailable: there is no file, and the download failed.
        PermanentFailure: the file is not a state dict.
    """
    if parameters.recipe == "scratch" or parameters.weights == "none":
        return None
    path = folder / f"{parameters.architecture}.pth" if folder else None
    if path is None or not path.is_file():
        return _download(parameters.architecture)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise PermanentFailure(
            f"{path.name} is not a state dict of {parameters.architecture} ({error}); replace it"
        ) from error
    return dict(weights)


def _download(architecture: str) -> dict[str, torch.Tensor]:
    from torchvision import models

    _torchvision_net(architecture)  # gives a clearer error for an unknown name
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)  # urlopen has no timeout by default
    try:
        chosen = models.get_model_weights(architecture).DEFAULT
        return dict(chosen.get_state_dict(progress=False, check_hash=True))
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsUnavailable(
            f"no pretrained weights of {architecture}: the download failed ({error}). Put "
            f"{architecture}.pth in the folder IMGCLF_WEIGHTS_DIR names, or let the job reach "
            'download.pytorch.org, or set weights = "none" or recipe = "scratch" under '
            "[training] in imgclf.toml"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _load(net: nn.Module, weights: Mapping[str, torch.Tensor], architecture: str) -> None:
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise PermanentFailure(
            f"{architecture}.pth holds the weights of another net than torchvision's "
            f"{architecture} ({str(error)[:300]}); replace it"
        ) from error


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


def _torchvision_net(name: str) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise PermanentFailure(
            f"unknown architecture {name!r}; torchvision has: {', '.join(sorted(known))}"
        )
    net: nn.Module = models.get_model(name, weights=None)
    return net


def _behead(net: nn.Module, name: str) -> None:
    """Remove the ImageNet classifier of ``net`` in place, so that it returns features."""
    if name.startswith("squeezenet"):  # classifies by convolution: dropout, conv, relu, pool
        net.classifier = nn.AdaptiveAvgPool2d(1)
        return
    for auxiliary in ("AuxLogits", "aux1", "aux2"):  # Inception's extra heads, for training only
        if hasattr(net, auxiliary):
            setattr(net, auxiliary, None)
            net.aux_logits = False
            net.transform_input = True  # what its weights expect
    path = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())


@torch.no_grad()
def _feature_count(backbone: nn.Module, parameters: Hyperparameters) -> int:
    """Return the length of the features, found by a trial, which works for every net."""
    side = parameters.image_size
    backbone.eval()
    try:
        return int(backbone(torch.zeros(1, 3, side, side)).flatten(1).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        raise PermanentFailure(
            f"architecture {parameters.architecture!r} cannot take images of {side} × {side} "
            f"pixels ({error}); set image_size = 224, or choose another architecture"
        ) from error
    finally:
        backbone.train()
