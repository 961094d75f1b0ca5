"""Features of a frozen backbone on a CPU, computed by OpenVINO.

OpenVINO folds batch normalisation into convolutions and has bfloat16 kernels for all of them. On one
core with AVX-512 and bfloat16, tf_efficientnet_lite0 at 224 × 224 pixels takes 36 ms an image in
PyTorch, 20 in PyTorch with bfloat16, 12 in ONNX Runtime and 4 to 6 here; docs/benchmarks.md has the
figures of a quiet machine.
"""

import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from openvino import CompiledModel

    from training.fitting.architectures import Classifier

WORTH_IMAGES = 256
"""Images from which converting the net (about 2 CPU seconds) takes less time than it saves."""

log = logging.getLogger("training")


def openvino_features(
    net: "Classifier", *, size: int, bf16: bool
) -> "Callable[[torch.Tensor], torch.Tensor] | None":
    """Convert the backbone for the CPU.

    Args:
        net: whose normalisation and backbone compute the features.
        size: width and height of the images in pixels.
        bf16: whether to compute in bfloat16.

    Returns:
        images float32 [batch, 3, size, size] in 0…255 → float32 [batch, features], for several
        threads at once; ``None``: OpenVINO is not installed, or cannot convert this net.
    """
    import torch

    compiled = _compiled(net, size, bf16=bf16)
    if compiled is None:
        return None
    own = threading.local()

    def features(images: torch.Tensor) -> torch.Tensor:
        if not hasattr(own, "request"):  # a request serves one thread at a time
            own.request = compiled.create_infer_request()
        found: np.ndarray = own.request.infer([images.contiguous().numpy()])[0]
        return torch.from_numpy(found.copy())

    return features


def _compiled(net: "Classifier", size: int, *, bf16: bool) -> "CompiledModel | None":
    try:
        import openvino
    except ImportError:
        log.info(
            "OpenVINO is not installed: PyTorch computes the features, in 2 to 4 times the time"
        )
        return None
    import joblib  # type: ignore[import-untyped]

    cores = max(1, joblib.cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        # A core computes whole batches, as in training.fitting.sweep.
        "INFERENCE_NUM_THREADS": cores,
        "NUM_STREAMS": cores,
    }
    try:
        return openvino.Core().compile_model(_converted(net, size), "CPU", options)
    except Exception as error:  # noqa: BLE001 - its converter raises anything on an operation that it lacks
        log.warning(
            "OpenVINO cannot convert this net (%s: %s): PyTorch computes the features",
            type(error).__name__,
            str(error)[:200],
        )
        return None


def _converted(net: "Classifier", size: int) -> Any:
    """Convert normalisation and backbone to an OpenVINO model with batches of any length."""
    # openvino.convert_model would do the same, and send statistics of its use to Intel.
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    class Embedding(torch.nn.Module):
        """``net.embed`` as a module."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.net.embed(images)

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's deprecation
        decoder = TorchScriptPythonDecoder(
            Embedding().eval(), example_input=(torch.zeros(2, 3, size, size),)
        )
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, 3, size, size])
    return model
