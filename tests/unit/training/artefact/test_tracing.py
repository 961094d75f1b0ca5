"""Export by tracing: what never changes is a constant, and a trace that misses something is refused."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from training.artefact.export import OPSET, ServingNet
from training.artefact.tracing import traced_graph
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit


class _Padded(nn.Module):
    """Computes its padding from the image's size, as the nets from TensorFlow do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        padded = functional.pad(images, (0, width % 2 + 1, 0, height % 2 + 1))
        features = self.layer(padded / 255)
        return features.reshape(images.shape[0], 4, -1).mean(2)


class _SeesTheBatch(nn.Module):
    """Its answer depends on the number of images, by a branch that a trace misses."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        sums = images.mean((2, 3)) / 255
        return sums if images.shape[0] == 2 else sums * 9


def _serving(net: nn.Module) -> ServingNet:
    torch.manual_seed(0)
    how = Preprocessing(size=16, interpolation="bicubic")
    return ServingNet(net, preprocessing=how, temperature=1.0, task="single_label").eval()


def test_sizes_that_never_change_are_constants(tmp_path: Path) -> None:
    graph = traced_graph(_serving(_Padded()), OPSET, tmp_path / "model.onnx")

    assert graph is not None
    onnx.checker.check_model(graph)
    paddings = [node for node in graph.graph.node if node.op_type == "Pad"]
    made = {name for node in graph.graph.node for name in node.output}
    assert paddings
    assert not made & {node.input[1] for node in paddings}
    # The number of images is not constant: of it depends a reshaping.
    shape = next(node.input[1] for node in graph.graph.node if node.op_type == "Reshape")
    assert shape in made


def test_a_trace_that_misses_a_branch_is_refused(tmp_path: Path) -> None:
    assert traced_graph(_serving(_SeesTheBatch()), OPSET, tmp_path / "model.onnx") is None
