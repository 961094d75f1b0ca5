"""A lower precision of the served graph, kept only if it loses almost nothing.

``bf16``: OpenVINO executes the graph in bfloat16. ``int8``: ONNX Runtime's static quantization, in its
QDQ format: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.artefact.artefact import ONNX_MODEL, TORCH_MODEL, ArtefactManifest, write_manifest
from training.artefact.checked_export import MOST_DIFFERENCE
from training.artefact.openvino_session import computes_bf16
from training.artefact.predictor import OnnxPredictor
from training.config import ExportPrecision
from training.errors import ArtefactError

if TYPE_CHECKING:
    import onnx

SERVED_PRECISION = "served_precision.json"
"""Output of a training job that was asked for a lower precision: a ``PrecisionTrial``."""

MOST_LOST_POINTS = 0.3
LEAST_IMAGES, MOST_IMAGES = 100, 1000
"""Validation images on which both graphs are compared. Of fewer than 100, one image is over a point."""

CALIBRATION_IMAGES = 128

_QUANTIZED = ["Conv", "Clip", "Add", "Pad", "GlobalAveragePool"]
"""Operators in int8. With convolutions alone, every activation between them is converted twice."""

Labelled = tuple[tuple[str, ...], np.ndarray]
"""An image's labels, and its pixels: uint8 [height, width, 3]."""


class PrecisionTrial(BaseModel):
    """What ``served_precision.json`` says.

    Attributes:
        asked: the precision that was tried.
        kept: whether the model is served with it.
        reason: why, or why not.
        images: number of validation images compared.
        fp32_right: share of them that the fp32 graph labels rightly.
        right: share of them that the tried graph labels rightly.
        difference: largest difference of a probability between both.
        fp32_ms: median of the milliseconds an image takes in fp32.
        ms: the same in the tried precision.
    """

    model_config = ConfigDict(frozen=True)

    asked: ExportPrecision
    kept: bool
    reason: str
    images: int = 0
    fp32_right: float = 0.0
    right: float = 0.0
    difference: float = 0.0
    fp32_ms: float = 0.0
    ms: float = 0.0


def lower_precision(
    folder: Path,
    manifest: ArtefactManifest,
    precision: ExportPrecision,
    *,
    calibration: Iterable[np.ndarray],
    validation: Iterable[Labelled],
    scratch: Path,
) -> tuple[ArtefactManifest, PrecisionTrial]:
    """Try a precision; serve the model with it if it loses almost nothing.

    Args:
        folder: the artefact with an fp32 graph; its graph and manifest change if the precision is kept.
        manifest: of the artefact.
        precision: to try.
        calibration: training images for int8, each uint8 [height, width, 3].
        validation: validation images with their labels.
        scratch: folder for files that may be lost.

    Returns:
        The manifest of what is in ``folder`` afterwards, and the result.
    """
    tried = scratch / f"precision-{precision}"
    tried.mkdir(parents=True, exist_ok=True)
    try:
        if precision == "bf16" and not computes_bf16():
            raise ArtefactError("this machine's CPU or packages have no bfloat16 to measure")
        if precision == "int8":
            quantize(folder / ONNX_MODEL, tried / ONNX_MODEL, calibration, scratch)
        else:
            (tried / ONNX_MODEL).write_bytes((folder / ONNX_MODEL).read_bytes())
        (tried / TORCH_MODEL).unlink(missing_ok=True)
        (tried / TORCH_MODEL).symlink_to((folder / TORCH_MODEL).resolve())
        fields = manifest.model_dump(exclude={"members"}) | {"precision": precision}
        lower = write_manifest(tried, **fields)
        trial = _compared(OnnxPredictor(folder), OnnxPredictor(tried), validation)
    except ArtefactError as error:
        return manifest, PrecisionTrial(asked=precision, kept=False, reason=str(error))
    if trial.kept:
        (tried / ONNX_MODEL).replace(folder / ONNX_MODEL)
        manifest = write_manifest(folder, **fields)
        assert manifest.members == lower.members
    return manifest, trial


def _compared(
    fp32: OnnxPredictor, tried: OnnxPredictor, validation: Iterable[Labelled]
) -> PrecisionTrial:
    asked = tried.manifest.precision
    right = np.zeros(2)
    seconds: tuple[list[float], list[float]] = ([], [])
    difference, images = 0.0, 0
    for labels, pixels in islice(validation, MOST_IMAGES):
        answers = []
        for number, model in enumerate((fp32, tried)):
            begin = time.perf_counter()
            answers.append(model.predict_images([pixels]))
            seconds[number].append(time.perf_counter() - begin)
            right[number] += set(model.decide(answers[-1])[0]) == set(labels)
        difference = float(np.maximum(difference, np.abs(answers[1] - answers[0]).max()))
        images += 1
    if images < LEAST_IMAGES:
        reason = f"{images} validation images are too few to judge it ({LEAST_IMAGES} are needed)"
        return PrecisionTrial(asked=asked, kept=False, reason=reason, images=images)
    lost = 100 * (right[0] - right[1]) / images
    fp32_ms, ms = (1000 * float(np.median(one)) for one in seconds)
    faster = ms < fp32_ms
    kept = lost <= MOST_LOST_POINTS and difference <= MOST_DIFFERENCE[asked] and faster
    reason = (
        f"on {images} validation images it loses {lost:.2f} points (at most {MOST_LOST_POINTS:g}), "
        f"probabilities differ by up to {difference:.2g} (at most {MOST_DIFFERENCE[asked]:g}), an "
        f"image takes {ms:.1f} ms instead of {fp32_ms:.1f} ms"
        + ("" if faster else ", so nothing is gained")
    )
    return PrecisionTrial(
        asked=asked,
        kept=bool(kept),
        reason=reason,
        images=images,
        fp32_right=float(right[0]) / images,
        right=float(right[1]) / images,
        difference=difference,
        fp32_ms=fp32_ms,
        ms=ms,
    )


def quantize(source: Path, target: Path, images: Iterable[np.ndarray], scratch: Path) -> None:
    """Write an int8 graph.

    Args:
        source: the fp32 graph.
        target: file for the int8 graph.
        images: for the ranges of activations, each uint8 [height, width, 3].
        scratch: folder for files that may be lost.

    Raises:
        ArtefactError: ONNX Runtime cannot quantize the graph.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[np.ndarray] = islice(images, CALIBRATION_IMAGES)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            return None if image is None else {"image": image[None]}

    prepared = scratch / "to-quantize.onnx"
    onnx.save(_quantizable(onnx.load(source)), prepared)
    logging.getLogger().addFilter(_unprepared)
    try:
        quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},  # one odd image does not widen a range
        )
    except Exception as error:  # its exceptions have no common base
        raise ArtefactError(
            f"ONNX Runtime cannot quantize the graph: {str(error)[:300]}"
        ) from error
    finally:
        logging.getLogger().removeFilter(_unprepared)


def _unprepared(record: logging.LogRecord) -> bool:
    """Drop the advice to fold batch normalisation first: the export has done it."""
    return "pre-processing before quantization" not in record.getMessage()


def _quantizable(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Write the graph so that ONNX Runtime's layout pass for int8 can move transposes through it.

    It takes the sizes of a Resize for those of all four axes, which the exporter gives for two of them
    (1.32: "Number of elements of input 'sizes' (0) does not match the number of axes").
    """
    from onnx import helper

    nodes: list[Any] = []
    for node in model.graph.node:
        axes = [one for one in node.attribute if one.name == "axes"]
        if node.op_type == "Resize" and axes and list(axes[0].ints) == [2, 3] and node.input[3:]:
            name, sizes = node.output[0], node.input[3]
            nodes += [
                helper.make_node("Shape", [node.input[0]], [f"{name}_batch"], start=0, end=2),
                helper.make_node("Concat", [f"{name}_batch", sizes], [f"{name}_sizes"], axis=0),
            ]
            node.attribute.remove(axes[0])
            node.input[3] = f"{name}_sizes"
            node.input[1] = node.input[2] = ""  # the exporter's empty constants
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    del model.graph.node[:]
    model.graph.node.extend(
        node for node in nodes if node.op_type != "Constant" or used & set(node.output)
    )
    return model
