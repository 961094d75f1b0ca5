"""Depthwise convolutions in float32 while a CPU trains in bfloat16.

oneDNN has no fast bfloat16 kernel for the backward pass of depthwise convolutions with a stride, or
with a kernel above 3 × 3. In float32 a training step of tf_efficientnet_lite0 takes 0.57 of the time,
one of mobilenet_v2 0.76, with the same gradients (docs/training.md).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def lacks_fast_kernel(layer: nn.Module) -> bool:
    """Whether oneDNN computes the layer's gradient in bfloat16 without a fast kernel."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == layer.in_channels > 1
        and (max(layer.stride) > 1 or max(layer.kernel_size) > 3)
    )


@contextmanager
def float32_depthwise(net: nn.Module, *, on: bool) -> Iterator[None]:
    """Compute such layers of ``net`` in float32 for a block.

    Args:
        net: to be trained with autocast on a CPU.
        on: whether to do so; else nothing happens.
    """
    layers = [layer for layer in net.modules() if on and lacks_fast_kernel(layer)]
    for layer in layers:
        layer.forward = _in_float32(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own again


def _in_float32(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    compute = layer.forward

    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return compute(images.float())

    return forward
