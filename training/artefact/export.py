"""Export of the net as an ONNX graph from pixels to probabilities."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.artefact.artefact import Task
from training.images.preprocessing import Preprocessing, resize_to_squares

_BATCH = 8
"""Images that the net computes at a time: more take no less time."""

OPSET = 20
"""ONNX opset: the first with antialiased resizing and gelu in all runtimes used here."""


class ServingNet(nn.Module):
    """Computes probabilities from decoded pixels: resizing, net, temperature and activation.

    Args:
        net: images float32 [batch, 3, size, size] in 0…255 → logits [batch, classes].
        preprocessing: size of the net's images, and how images are resized to it.
        temperature: divides the logits.
        task: multi_label: sigmoid; single_label: softmax.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        preprocessing: Preprocessing,
        temperature: float,
        task: Task,
    ) -> None:
        super().__init__()
        self.net = net
        self.preprocessing = preprocessing
        self.temperature = temperature
        self.task: Task = task

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute probabilities: uint8 [batch, height, width, 3] → float32 [batch, classes]."""
        return self.probabilities(self.net(self.squares(image)))

    def squares(self, image: torch.Tensor) -> torch.Tensor:
        """Resize: uint8 [batch, height, width, 3] → float32 [batch, 3, size, size] in 0…255."""
        how = self.preprocessing
        return resize_to_squares(image, how.size, how.interpolation, how.resize)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Compute probabilities from logits: float32 [batch, classes], both."""
        logits = logits / self.temperature
        return logits.sigmoid() if self.task == "multi_label" else logits.softmax(dim=1)


def export_onnx(serving: ServingNet, path: Path) -> None:
    """Write ``serving`` to ``path`` as an ONNX graph; equal nets give equal bytes.

    Input ``image`` is uint8 [batch, height, width, 3], with dynamic batch, height and width; output
    ``probabilities`` is float32 [batch, classes].
    """
    import onnx

    from training.artefact.tracing import traced_graph

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    model = None
    if serving.preprocessing.resize == "squash":  # else sizes are computed, which a trace misses
        model = traced_graph(serving.eval(), OPSET, path)
    if model is None:
        model = _exported_graph(serving.eval())
    _strip(model)
    onnx.save_model(model, path)


def _exported_graph(serving: ServingNet) -> "onnx.ModelProto":  # type: ignore[name-defined]  # noqa: F821 - a local import
    """Export by ``torch.export``, which takes any size into account."""
    dimensions = {0: "batch", 1: "height", 2: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's deprecation warnings
        program = torch.onnx.export(
            serving,
            (torch.zeros(2, 24, 20, 3, dtype=torch.uint8),),
            input_names=["image"],
            output_names=["probabilities"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({key: torch.export.Dim(name) for key, name in dimensions.items()},),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _strip(model: "onnx.ModelProto") -> None:  # type: ignore[name-defined]  # noqa: F821 - a local import
    """Remove the exporter's metadata: stack traces and paths of this machine."""
    model.ClearField("metadata_props")
    for graph in (model.graph, *model.functions):
        graph.ClearField("metadata_props")
        for part in (*graph.node, *graph.value_info):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.ClearField("metadata_props")


@torch.inference_mode()
def probabilities_of(serving: ServingNet, images: Sequence[np.ndarray]) -> np.ndarray:
    """Compute torch's probabilities of images (each uint8 [height, width, 3]): float32 [n, classes]."""
    squares = [serving.squares(torch.from_numpy(image.copy())[None]) for image in images]
    # Channels last, convolutions on a CPU take a third less time, and the same net computes.
    batches = torch.cat(squares).to(memory_format=torch.channels_last).split(_BATCH)
    return torch.cat([serving.probabilities(serving.net(batch)) for batch in batches]).numpy()


@torch.inference_mode()
def head_probabilities_of(serving: ServingNet, features: np.ndarray) -> np.ndarray:
    """Compute torch's probabilities from features, float32 [n, d], of a ``Classifier``: float32 [n, classes]."""
    head = serving.net.get_submodule("head")
    found: np.ndarray = serving.probabilities(head(torch.from_numpy(features))).numpy()
    return found
