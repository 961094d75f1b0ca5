"""Export by tracing: a graph of one run of the net, in a tenth of the CPU time of ``torch.export``.

Two EfficientNets take 20 CPU seconds by ``torch.export`` and 2 by tracing. A trace may miss what depends
on the input (a branch, the size of a batch), so its answers are compared with the net's on inputs of other
sizes.
"""

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "image", "probabilities"
_TRACED_SHAPE = (2, 24, 20, 3)
_OTHER_SHAPES = ((1, 40, 33, 3), (3, 24, 52, 3))
"""Batch, height, width, channels."""

_MOST_DIFFERENCE = 1e-4
"""Of a probability; float32 sums in another order differ by some 1e-6."""

_CONSTANT = "Constant"

log = logging.getLogger("training")


def traced_graph(serving: nn.Module, opset: int, scratch: Path) -> "onnx.ModelProto | None":
    """Export a net by tracing it.

    Args:
        serving: uint8 [batch, height, width, 3] → float32 [batch, classes].
        opset: of ONNX.
        scratch: file to write while working; the caller replaces or deletes it.

    Returns:
        The graph; ``None`` if the net cannot be traced, or the graph gives other answers.
    """
    import onnx

    try:
        _trace(serving, opset, scratch)
        model = onnx.load(scratch)
        _fold_static_shapes(model, serving)
    except Exception as error:  # noqa: BLE001 - the exporter and the runtime raise anything
        log.info("the net cannot be traced (%s: %s)", type(error).__name__, str(error)[:200])
        return None
    return model


def _trace(serving: nn.Module, opset: int, path: Path) -> None:
    for operation, mode in (("bilinear", "linear"), ("bicubic", "cubic")):
        name = f"aten::_upsample_{operation}2d_aa"
        torch.onnx.register_custom_op_symbolic(name, _resize_symbolic(mode), opset)
    dimensions = {0: "batch", 1: "height", 2: "width"}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation, and each size that becomes a constant
        torch.onnx.export(
            serving.eval(),
            (torch.zeros(_TRACED_SHAPE, dtype=torch.uint8),),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=opset,
            dynamo=False,
            dynamic_axes={INPUT: dimensions, OUTPUT: {0: "batch"}},
        )


def _resize_symbolic(mode: str) -> Any:
    """Return the ONNX operator of PyTorch's antialiased resizing, which the tracing exporter lacks."""

    def symbolic(graph: Any, images: Any, size: Any, *_given: Any) -> Any:
        """Add the operator to a graph.

        Args:
            graph: to add to.
            images: value [batch, channels, height, width].
            size: of the result: height and width in pixels.
        """
        from torch.onnx.symbolic_helper import _parse_arg  # the documented way has the same name

        sides = torch.tensor(_parse_arg(size, "is"), dtype=torch.int64)
        none = graph.op(_CONSTANT, value_t=torch.tensor([], dtype=torch.float32))
        return graph.op(
            "Resize",
            images,
            none,
            none,
            graph.op(_CONSTANT, value_t=sides),
            antialias_i=1,
            axes_i=[2, 3],
            coordinate_transformation_mode_s="half_pixel",
            cubic_coeff_a_f=-0.5,
            exclude_outside_i=1,
            mode_s=mode,
        )

    return symbolic


def _fold_static_shapes(model: "onnx.ModelProto", serving: nn.Module) -> None:
    """Replace, in place, what the graph computes of sizes that never change by constants.

    Raises:
        ValueError: the graph gives other answers than the net.
    """
    import onnx
    from onnx import helper, numpy_helper
    from onnxruntime import InferenceSession, SessionOptions

    graph = model.graph
    edge = _sizes_used(graph)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in edge)
    options = SessionOptions()
    options.log_severity_level = 3
    session = InferenceSession(watched.SerializeToString(), options)
    runs = []
    for shape in _OTHER_SHAPES:
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        answer, *sizes = session.run([OUTPUT, *edge], {INPUT: images})
        with torch.inference_mode():
            expected = serving(torch.from_numpy(images)).numpy()
        if answer.shape != expected.shape or abs(answer - expected).max() > _MOST_DIFFERENCE:
            raise ValueError("the traced graph gives other answers than the net")
        runs.append(sizes)
    constants = {
        name: first
        for name, first, second in zip(edge, *runs, strict=True)
        if np.array_equal(first, second)
    }
    kept = [node for node in graph.node if not constants.keys() & set(node.output)]
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    _keep_needed(graph, kept)


def _sizes_used(graph: "onnx.GraphProto") -> list[str]:
    """Return the tensors that depend on shapes alone, and are inputs of what depends on pixels."""
    of_shapes: set[str] = set()
    constant = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if node.op_type == _CONSTANT or (node.input and set(node.input) <= constant):
            constant.update(node.output)
        elif node.op_type == "Shape" or set(node.input) <= of_shapes | constant:
            of_shapes.update(node.output)
    used = {
        name
        for node in graph.node
        if not of_shapes & set(node.output) and node.op_type != "Shape"
        for name in node.input
    }
    return sorted(of_shapes & used)


def _keep_needed(graph: "onnx.GraphProto", nodes: Iterable["onnx.NodeProto"]) -> None:
    """Leave, in place, those of the nodes and constants that the outputs need."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(list(nodes)):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    kept.reverse()
    graph.ClearField("node")
    graph.ClearField("value_info")
    graph.ClearField("initializer")
    graph.node.extend(kept)
    graph.initializer.extend(tensors)
