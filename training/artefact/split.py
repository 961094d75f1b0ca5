"""Splitting a served graph at the features of its head: known features need no net.

The body computes features from pixels, the head probabilities from features. The models of a probe have
the same body as long as net and preprocessing are the same.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.artefact.artefact import ONNX_MODEL
from training.artefact.predictor import batches, session_of

if TYPE_CHECKING:
    import onnx

OUTPUT = "probabilities"

_LINEAR = ("Gemm", "MatMul")
"""Operators of a linear layer."""


@dataclass(frozen=True)
class _Parts:
    """A graph, split.

    Attributes:
        features: name of the tensor between body and head.
        width: length of an image's features.
        body: nodes that compute it.
        head: nodes that compute the output from it.
    """

    features: str
    width: int
    body: list["onnx.NodeProto"]
    head: list["onnx.NodeProto"]


class SplitModel:
    """A model of a probe, as body and head.

    Attributes:
        width: length of an image's features.
        body_digest: SHA-256 (hex) of the body and the version of ONNX Runtime. Models with the same
            one compute the same features.
    """

    def __init__(self, model: "onnx.ModelProto", parts: _Parts) -> None:
        """Made by :meth:`load`."""
        import onnxruntime
        from onnx import TensorProto, helper

        self._features, self.width = parts.features, parts.width
        self.body_digest = _digest(model, parts.body, onnxruntime.__version__)
        features = helper.make_tensor_value_info(parts.features, TensorProto.FLOAT, [None, None])
        head = _graph_of(model, parts.head)
        head.graph.input.append(features)
        self._head = session_of(head.SerializeToString())
        whole = type(model)()
        whole.CopyFrom(model)
        whole.graph.output.append(features)
        self._whole = session_of(whole.SerializeToString())

    @classmethod
    def load(cls, folder: Path) -> "SplitModel | None":
        """Load the artefact in a folder; ``None`` if its graph does not end with a linear layer.

        Raises:
            ArtefactError: ONNX Runtime cannot load the parts.
        """
        import onnx

        model = onnx.load(folder / ONNX_MODEL)
        parts = _split(model.graph)
        return cls(model, parts) if parts else None

    def answer(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Compute features and probabilities of images.

        Args:
            images: RGB pixels, each uint8 [height, width, 3].

        Returns:
            float32 [n, width + labels]: of each image the features, then the probabilities.
        """
        rows: dict[int, np.ndarray] = {}
        for indices in batches(images):
            pixels = np.stack([images[index] for index in indices])
            found = self._whole.run([self._features, OUTPUT], {"image": pixels})
            rows |= dict(zip(indices, np.hstack(found), strict=True))
        return np.stack([rows[index] for index in range(len(images))])

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Compute probabilities, float32 [n, labels], from features, float32 [n, width]."""
        (found,) = self._head.run([OUTPUT], {self._features: features})
        return np.asarray(found)


def _split(graph: "onnx.GraphProto") -> _Parts | None:
    """Split before the last linear layer; ``None`` if what follows it needs more than its result."""
    made_by = {name: node for node in graph.node for name in node.output}
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    constant = _constants(graph)
    name = OUTPUT
    while True:
        node = made_by.get(name)
        inputs = [value for value in node.input if value and value not in constant] if node else []
        if node is None or len(inputs) != 1:
            return None
        (name,) = inputs
        if node.op_type in _LINEAR:
            break
    weights = shapes.get(next((value for value in node.input if value != name), ""), [])
    if len(weights) != 2:
        return None
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    width = weights[1] if transposed else weights[0]
    return _Parts(name, width, _needed(graph, {name}, ()), _needed(graph, {OUTPUT}, (name,)))


def _constants(graph: "onnx.GraphProto") -> set[str]:
    """Return the tensors that depend on no input."""
    constant = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if set(node.input) <= constant:
            constant.update(node.output)
    return constant


def _needed(
    graph: "onnx.GraphProto", outputs: Collection[str], given: Collection[str]
) -> list["onnx.NodeProto"]:
    """Return the nodes that outputs need, in order; what is given needs none."""
    needed, kept = set(outputs), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(set(node.input) - set(given))
    return kept[::-1]


def _graph_of(model: "onnx.ModelProto", nodes: list["onnx.NodeProto"]) -> "onnx.ModelProto":
    """Return a model of some of the nodes, without an input."""
    used = {name for node in nodes for name in node.input}
    found = type(model)()
    found.CopyFrom(model)
    graph = found.graph
    for field in ("node", "input", "value_info", "initializer"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    return found


def _digest(model: "onnx.ModelProto", nodes: list["onnx.NodeProto"], runtime: str) -> str:
    used = {name for node in nodes for name in node.input}
    tensors = sorted(
        (tensor for tensor in model.graph.initializer if tensor.name in used),
        key=lambda tensor: tensor.name,
    )
    versions = [f"{entry.domain}:{entry.version}" for entry in model.opset_import]
    digest = hashlib.sha256(" ".join([runtime, *versions]).encode())
    for part in (*nodes, *tensors):
        digest.update(part.SerializeToString(deterministic=True))
    return digest.hexdigest()
