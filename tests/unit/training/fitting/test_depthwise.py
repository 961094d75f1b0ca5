"""Layers without a fast bfloat16 kernel are computed in float32, with the same gradients."""

import pytest
import torch
from torch import nn

from training.fitting.depthwise import float32_depthwise, lacks_fast_kernel

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(8, 8, 3, stride=2, groups=8), True),
        (nn.Conv2d(8, 8, 5, groups=8), True),
        (nn.Conv2d(8, 8, 3, groups=8), False),
        (nn.Conv2d(8, 8, 3, stride=2), False),
        (nn.Conv2d(8, 8, 3, stride=2, groups=2), False),
        (nn.Conv2d(1, 1, 5), False),
        (nn.Linear(8, 8), False),
    ],
)
def test_which_layers_lack_one(layer: nn.Module, expected: bool) -> None:
    assert lacks_fast_kernel(layer) is expected


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Conv2d(8, 8, 3, stride=2, groups=8),
        nn.Flatten(),
        nn.Linear(72, 2),
    )


def _gradient(net: nn.Module, *, on: bool, bf16: bool) -> tuple[torch.Tensor, list[torch.dtype]]:
    seen: list[torch.dtype] = []
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _given, found: seen.append(found.dtype))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with float32_depthwise(net, on=on), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        net(images).float().square().sum().backward()
    return torch.cat([weight.grad.ravel() for weight in net.parameters()]), seen


def test_the_depthwise_layer_alone_is_in_float32_and_the_gradient_is_the_same() -> None:
    exact, _ = _gradient(_net(), on=False, bf16=False)
    usual, as_usual = _gradient(_net(), on=False, bf16=True)
    found, seen = _gradient(_net(), on=True, bf16=True)
    assert as_usual == [torch.bfloat16, torch.bfloat16]
    assert seen == [torch.bfloat16, torch.float32]
    for gradient in (usual, found):
        assert torch.cosine_similarity(exact, gradient, 0) > 0.999


def test_the_net_is_as_before_after_the_block() -> None:
    net = _net()
    with float32_depthwise(net, on=True):
        assert "forward" in vars(net[1])
    assert "forward" not in vars(net[1])
    assert "forward" not in vars(net[0])
