"""Nets by name: torchvision's, else timm's; ``timm/NAME`` where both libraries have the name.

A source builds a net that returns features, loads ImageNet weights and knows their preprocessing and
licence.
"""

import pickle
import socket
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.backbones.weights import PACKAGES, file_stem, ways_to_weights
from training.errors import PermanentFailure, WeightsUnavailable
from training.images.preprocessing import Preprocessing

Weights = Mapping[str, torch.Tensor]

_DOWNLOAD_TIMEOUT_S = 30.0
_TIMM = "timm/"

_LITE_MEAN, _LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Of EfficientNet-Lite: https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/efficientnet_lite_builder.py
(MEAN_RGB, STDDEV_RGB). timm rounds both to 127.5."""


@dataclass(frozen=True)
class NetSource:
    """A net of a library.

    Attributes:
        name: of the net.
        library: the package that has its code: torchvision or timm.
        preprocessing: that its ImageNet weights expect.
        license: of its ImageNet weights; empty: the library does not say.
        build: builds the net without its classifier, for images of a size in pixels; with the
            weights of the whole net, or (``None``) random ones.
        download: fetches the ImageNet weights of the whole net.
    """

    name: str
    library: str
    preprocessing: Preprocessing
    license: str
    build: Callable[[int, Weights | None], nn.Module]
    download: Callable[[], Weights]


def net_source(name: str) -> NetSource:
    """Find a net by its name.

    Raises:
        PermanentFailure: neither library has it; the message names similar ones.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name in known:
        return _torchvision_source(name)
    import timm

    plain = name.removeprefix(_TIMM)
    if timm.is_model(plain):
        return _timm_source(name, plain)
    pretrained = timm.list_models(pretrained=True)
    similar = get_close_matches(plain, [*known, *pretrained], n=5, cutoff=0.5)
    raise PermanentFailure(
        f"unknown architecture {name!r}; similar: {', '.join(similar) or 'none'}. There are "
        f"{len(known)} in torchvision (torchvision.models.list_models()) and {len(pretrained)} in "
        "timm (timm.list_models(pretrained=True))"
    )


def read_weights(net: str, path: Path) -> Weights:
    """Read a file of weights; pickled code in it is not run.

    Args:
        net: name of the net.
        path: a state dict (.pth), or safetensors.

    Raises:
        PermanentFailure: the file is something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        mapped = zipfile.is_zipfile(path)  # files of PyTorch before 1.6 are not
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        return {str(key): value for key, value in weights.items()}
    except (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        SafetensorError,
    ) as error:
        raise PermanentFailure(
            f"{path.name} is not a state dict of {net} ({str(error)[:300]}); replace it"
        ) from error


def download_weights(source: NetSource) -> Weights:
    """Download the ImageNet weights of a net.

    Raises:
        WeightsUnavailable: the download failed; the message names every way out.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)  # urlopen has no timeout by default
    try:
        return source.download()
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsUnavailable(
            f"no pretrained weights of {source.name}: the download failed ({error}). One way out: "
            + "; or ".join(ways_to_weights(source.name))
        ) from error
    finally:
        socket.setdefaulttimeout(before)


# --- torchvision -----------------------------------------------------------------------------


def _torchvision_source(name: str) -> NetSource:
    from torchvision import models

    chosen = models.get_model_weights(name).DEFAULT
    prepared = chosen.transforms()
    interpolation = prepared.interpolation.value
    return NetSource(
        name=name,
        library="torchvision",
        preprocessing=Preprocessing(
            mean=tuple(prepared.mean),
            std=tuple(prepared.std),
            size=prepared.crop_size[0],
            interpolation=interpolation if interpolation == "bicubic" else "bilinear",
        ),
        license=str(chosen.meta.get("license", "")),
        build=lambda _size, weights: _torchvision_net(name, weights),
        download=lambda: chosen.get_state_dict(progress=False, check_hash=True),
    )


def _torchvision_net(name: str, weights: Weights | None) -> nn.Module:
    from torchvision import models

    net: nn.Module = models.get_model(name, weights=None)
    if weights is not None:
        try:
            net.load_state_dict(weights)
        except RuntimeError as error:
            raise _of_another_net(name, error) from error
    _remove_classifier(net, name)
    return net


def _of_another_net(name: str, error: Exception) -> PermanentFailure:
    return PermanentFailure(
        f"{file_stem(name)}.pth holds the weights of another net than {name} "
        f"({str(error)[:300]}); replace it"
    )


def _remove_classifier(net: nn.Module, name: str) -> None:
    """Remove torchvision's classifier in place, so that ``net`` returns features."""
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


# --- timm ------------------------------------------------------------------------------------


def _timm_source(name: str, plain: str) -> NetSource:
    import timm

    settings = timm.get_pretrained_cfg(plain, allow_unregistered=False)
    is_lite = plain.partition(".")[0] in PACKAGES
    preprocessing = Preprocessing()
    if settings is not None:
        preprocessing = Preprocessing(
            mean=_LITE_MEAN if is_lite else tuple(settings.mean),
            std=_LITE_STD if is_lite else tuple(settings.std),
            size=settings.input_size[-1],
            interpolation="bicubic" if settings.interpolation == "bicubic" else "bilinear",
        )
    return NetSource(
        name=name,
        library="timm",
        preprocessing=preprocessing,
        license=str(getattr(settings, "license", None) or ""),
        build=lambda size, weights: _timm_net(name, plain, size, weights),
        download=lambda: _downloaded_timm(name, plain),
    )


def _timm_net(name: str, plain: str, size: int, weights: Weights | None) -> nn.Module:
    """Build timm's net, whose classifier is removed after the weights of the whole net are loaded."""
    import timm

    settings = timm.get_pretrained_cfg(plain, allow_unregistered=False)
    options: dict[str, Any] = {}
    if settings is not None and settings.fixed_input_size:  # such as vision transformers
        options["img_size"] = size
    if weights is None:
        return timm.create_model(plain, num_classes=0, **options)
    try:
        net = timm.create_model(plain, **options)
        if plain.partition(".")[0] in PACKAGES and set(weights) != set(net.state_dict()):
            weights = _in_order(weights, net.state_dict())
        # timm's own loader adapts the position embeddings of other image sizes. It is strict where
        # the number of classes is the pretrained one.
        net = timm.create_model(
            plain,
            pretrained=True,
            pretrained_cfg_overlay={"state_dict": dict(weights)},
            num_classes=settings.num_classes if settings is not None else 1000,
            **options,
        )
    except (RuntimeError, KeyError, ValueError) as error:
        raise _of_another_net(name, error) from error
    net.reset_classifier(0)
    return net


def _in_order(weights: Weights, expected: Weights) -> Weights:
    """Rename weights to the keys of ``expected``, which have the same order and shapes.

    The packages' EfficientNet-Lite is another implementation of the same net.

    Raises:
        RuntimeError: numbers or shapes differ.
    """
    shapes = [tuple(tensor.shape) for tensor in weights.values()]
    if shapes != [tuple(tensor.shape) for tensor in expected.values()]:
        raise RuntimeError(f"{len(weights)} tensors, or their shapes, differ from the net's")
    return dict(zip(expected, weights.values(), strict=True))


def _downloaded_timm(name: str, plain: str) -> Weights:
    import timm

    settings = timm.get_pretrained_cfg(plain, allow_unregistered=False)
    if settings is None or not settings.has_weights:
        raise PermanentFailure(
            f"timm has no pretrained weights of {name}; choose another architecture, or set "
            'weights = "none" under [training] in imgclf.toml'
        )
    return timm.create_model(plain, pretrained=True).state_dict()
