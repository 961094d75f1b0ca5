"""Execution of a served graph by OpenVINO in bfloat16."""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.errors import ArtefactError

log = logging.getLogger("training")


class Port(NamedTuple):
    """An input or output of a graph, as ONNX Runtime describes it."""

    name: str
    type: str
    shape: list[int | None]


_TYPES = {"u8": "tensor(uint8)", "f32": "tensor(float)"}


def computes_bf16() -> bool:
    """Whether OpenVINO is installed and this CPU computes in bfloat16."""
    try:
        import openvino
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoSession:
    """A graph on the CPU, with the part of ``onnxruntime.InferenceSession`` that prediction uses.

    Computes in bfloat16 where the CPU does, else in float32. Safe to share between threads.
    """

    def __init__(self, path: Path, threads: int) -> None:
        """Load a graph.

        Args:
            path: of the ONNX graph.
            threads: CPU threads of one prediction.

        Raises:
            ArtefactError: OpenVINO cannot execute it.
            ImportError: OpenVINO is not installed.
        """
        import openvino

        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if computes_bf16() else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            self._model = openvino.Core().compile_model(path, "CPU", options)
        except RuntimeError as error:
            raise ArtefactError(f"OpenVINO cannot execute {path}: {str(error)[:300]}") from error
        self._own = threading.local()

    def get_inputs(self) -> list[Port]:
        """Return the inputs."""
        return [_port(one) for one in self._model.inputs]

    def get_outputs(self) -> list[Port]:
        """Return the outputs."""
        return [_port(one) for one in self._model.outputs]

    def run(self, outputs: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute outputs by their names from inputs by their names."""
        if not hasattr(self._own, "request"):  # a request serves one thread at a time
            self._own.request = self._model.create_infer_request()
        found = self._own.request.infer(dict(feed))
        return [np.array(found[name]) for name in outputs]


def _port(port: object) -> Port:
    shape = port.get_partial_shape()  # type: ignore[attr-defined] # OpenVINO has no types
    kind = port.get_element_type().get_type_name()  # type: ignore[attr-defined] # as above
    sizes = [None if one.is_dynamic else one.get_length() for one in shape]
    return Port(port.get_any_name(), _TYPES.get(kind, kind), sizes)  # type: ignore[attr-defined] # as above
