"""A graph is split at the input of its last linear layer, or not at all."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.artefact.split import SplitModel

pytestmark = pytest.mark.unit


def written(folder: Path, *nodes: onnx.NodeProto, bias: float = 0.0) -> Path:
    """A graph of nodes between the mean colour ``mean`` [n, 3] and ``probabilities`` [n, 2]."""
    constants = {
        "axes": np.array([1, 2], np.int64),
        "weights": np.arange(6, dtype=np.float32).reshape(3, 2) / 1000,
        "rows": np.arange(6, dtype=np.float32).reshape(2, 3) / 1000,
        "bias": np.full(2, bias, np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
            *nodes,
        ],
        "tested",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return folder


SOFTMAX = helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)
HEADS = {
    "Gemm": [helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"])],
    "Gemm, transposed": [helper.make_node("Gemm", ["mean", "rows", "bias"], ["logits"], transB=1)],
    "MatMul": [
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ],
}


@pytest.mark.parametrize("head", list(HEADS))
def test_head_and_whole_graph_agree(head: str, tmp_path: Path) -> None:
    model = SplitModel.load(written(tmp_path / "model", *HEADS[head], SOFTMAX, bias=1.0))
    assert model is not None
    assert model.width == 3
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (4 + n % 2, 5, 3), np.uint8) for n in range(5)]
    found = model.answer(images)
    features, probabilities = found[:, :3], found[:, 3:]
    assert features == pytest.approx(np.stack([image.mean((0, 1)) for image in images]), rel=1e-6)
    assert model.probabilities(features) == pytest.approx(probabilities, abs=1e-6)


def test_models_with_the_same_body_have_the_same_digest(tmp_path: Path) -> None:
    def digest(name: str, *nodes: onnx.NodeProto, bias: float = 0.0) -> str:
        model = SplitModel.load(written(tmp_path / name, *nodes, SOFTMAX, bias=bias))
        assert model is not None
        return model.body_digest

    scaled = helper.make_node("Add", ["mean", "mean"], ["twice"])
    other = helper.make_node("Gemm", ["twice", "weights", "bias"], ["logits"])
    first = digest("first", *HEADS["Gemm"])
    assert digest("again", *HEADS["Gemm"], bias=2.0) == first
    assert digest("transposed", *HEADS["Gemm, transposed"]) == first
    assert digest("other", scaled, other) != first


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Slice", ["mean", "zero", "two", "one"], ["logits"])],
        [
            helper.make_node("Gemm", ["mean", "weights", "bias"], ["linear"]),
            helper.make_node("Gemm", ["mean", "weights", "bias"], ["beside"]),
            helper.make_node("Mul", ["linear", "beside"], ["logits"]),
        ],
    ],
    ids=["no linear layer", "two heads"],
)
def test_a_graph_that_does_not_end_with_a_linear_layer_is_not_split(
    nodes: list[onnx.NodeProto], tmp_path: Path
) -> None:
    assert SplitModel.load(written(tmp_path / "model", *nodes, SOFTMAX)) is None
