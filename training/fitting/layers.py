"""The layers of a backbone in order of depth: frozen ones, and learning rates by depth."""

import math
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_PARTS = 12
"""Layers into which a net is divided that does not say what its layers are (all but timm's)."""

_FIRST_RATE = 0.04
"""Share of its peak at which the learning rate starts: OneCycleLR's default."""


def layer_numbers(backbone: nn.Module) -> dict[str, int]:
    """Return the number of its layer, from 0, for each parameter of a backbone."""
    names = [name for name, _ in backbone.named_parameters()]
    if hasattr(backbone, "group_matcher"):
        from timm.models import group_parameters

        return dict(group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True))
    return {name: index * _PARTS // len(names) for index, name in enumerate(names)}


def freeze_first(net: nn.Module, share: float) -> None:
    """Freeze the first layers of a classifier's backbone, which then cost no backward pass.

    Args:
        net: a ``Classifier``; of another net nothing is frozen.
        share: of the layers.
    """
    backbone = getattr(net, "backbone", None)
    if backbone is None:
        return
    numbers = layer_numbers(backbone)
    trained_from = int(share * (max(numbers.values()) + 1))
    for name, parameter in backbone.named_parameters():
        if numbers[name] < trained_from:
            parameter.requires_grad_(False)


def batch_norms(net: nn.Module, *, only_frozen: bool) -> tuple[str, ...]:
    """Return the names of the batch normalisations of a net, or only of those that are frozen."""
    return tuple(
        name
        for name, module in net.named_modules()
        if isinstance(module, _BatchNorm)
        and not (only_frozen and (module.weight is None or module.weight.requires_grad))
    )


def parameter_groups(
    net: nn.Module, *, rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Group the parameters that are trained, for an optimizer.

    Biases and parameters of normalisations get no weight decay. The head learns at ``rate``, the
    backbone's last layer at ``rate * layer_decay``, the one before it at ``rate * layer_decay ** 2``.

    Args:
        net: some of whose parameters may be frozen.
        rate: of the head.
        weight_decay: of the weights.
        layer_decay: factor of the rate from a layer to the one before it.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, height in _with_height(net):
        key = (rate * layer_decay**height, weight_decay if parameter.ndim > 1 else 0.0)
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]


def _with_height(net: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Yield each trained parameter, and the number of layers from the head down to its layer."""
    backbone = getattr(net, "backbone", None)
    numbers = layer_numbers(backbone) if backbone is not None else {}
    layers = max(numbers.values(), default=0) + 1
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            number = numbers.get(name.removeprefix("backbone."), layers)
            yield parameter, layers - number


def warm_up_and_cosine(step: int, steps: int, warm_up: float) -> float:
    """Return the share of its peak that the learning rate has at a step.

    It rises and falls along cosines, as in torch.optim.lr_scheduler.OneCycleLR: a steep start spoils
    the statistics of batch normalisations in a run of few steps, and the last epoch of one is good
    because the rate ends at 0.

    Args:
        step: number of the step, from 0.
        steps: of the training.
        warm_up: share of the steps in which the rate rises.
    """
    rising = round(warm_up * steps)
    if step < rising:
        return _FIRST_RATE + (1 - _FIRST_RATE) * 0.5 * (1 - math.cos(math.pi * step / rising))
    fallen = min(1.0, (step - rising) / max(1, steps - rising))
    return 0.5 * (1 + math.cos(math.pi * fallen))
