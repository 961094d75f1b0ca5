"""Prediction with a model artefact: an ONNX graph from pixels to probabilities.

Evaluation and serving use the same class, so that the evaluated model is the served one.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.artefact.artefact import ONNX_MODEL, ArtefactManifest, digest, read_artefact_manifest
from training.artefact.openvino_session import OpenVinoSession
from training.config import ExportPrecision
from training.errors import ArtefactError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

log = logging.getLogger("training")

MAX_BATCH_IMAGES = 8
"""Most images per call of ONNX Runtime. On CPUs larger batches are slower: MobileNetV2 at 160 px
did 700 images/s in batches of 8 and 400 in batches of 32, which do not fit into the caches."""

MAX_BATCH_PIXELS = 4_000_000
"""Most pixels per call: the graph converts them to float32 before it resizes them (12 bytes per
pixel and copy), so a batch takes about 100 MB. A larger image gets a call of its own."""


class OnnxPredictor:
    """Predicts with a model artefact. Safe to share between threads.

    Attributes:
        manifest: the artefact's manifest.
        digest: SHA-256 of the manifest (hex), which identifies the artefact.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """Load an artefact that ``training.artefact.artefact.unpack`` has unpacked and verified.

        Args:
            folder: holds ``manifest.json`` and ``model.onnx``.
            threads: CPU threads of one prediction; default: as many as this process may use.

        Raises:
            ArtefactError: the folder has no model, or one with other inputs or outputs.
        """
        self.manifest: ArtefactManifest = read_artefact_manifest(folder)
        self.digest: str = digest(self.manifest)
        self._session = _session(folder / ONNX_MODEL, self.manifest.precision, threads)
        _check_signature(self._session, len(self.labels), folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of what ``predict_images`` returns."""
        return self.manifest.labels

    def predict_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the probability of each label for each image.

        Images of equal size are computed together, in bounded batches. Decode them with
        ``fit=manifest.input_size``, as training does.

        Args:
            images: RGB pixels, each uint8 [height, width, 3]; sizes may differ.

        Returns:
            float32 [len(images), len(labels)]. Rows of a single_label model add up to 1.

        Raises:
            ValueError: an image has another dtype or shape; the message names it.
            ArtefactError: the model's output has another shape, or values that are not finite.
        """
        probabilities = np.empty((len(images), len(self.labels)), dtype=np.float32)
        for indices in batches(images):
            batch = np.stack([images[index] for index in indices])
            probabilities[indices] = self._run(batch)
        return probabilities

    def decide(self, probabilities: np.ndarray) -> list[tuple[str, ...]]:
        """Decide on the labels of each image.

        Args:
            probabilities: float [n, labels], from ``predict_images``.

        Returns:
            Single_label: the most probable label. Multi_label: those whose probability reaches
            their threshold (perhaps none), the most probable first.
        """
        return decide(probabilities, self.labels, self.manifest.thresholds)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        (answer,) = self._session.run(["probabilities"], {"image": batch})
        if answer.shape != (len(batch), len(self.labels)) or not np.isfinite(answer).all():
            raise ArtefactError(
                f"model {self.manifest.model_version} answered {len(batch)} images of "
                f"{batch.shape[2]} × {batch.shape[1]} pixels with {answer.shape} values, "
                f"{np.count_nonzero(~np.isfinite(answer))} of them not finite; train it again, with a lower learning_rate"
            )
        return answer


def decide(
    probabilities: np.ndarray, labels: Sequence[str], thresholds: Mapping[str, float]
) -> list[tuple[str, ...]]:
    """Decide on labels from probabilities.

    Args:
        probabilities: float [n, labels].
        labels: names of the columns.
        thresholds: in [0, 1], by label (multi_label); empty: the task is single_label.

    Returns:
        Labels of each image. Single_label: the most probable one, the first of equals.
        Multi_label: those whose probability reaches its threshold, the most probable first.
    """
    if not thresholds:
        return [(labels[index],) for index in probabilities.argmax(axis=1)]
    reached = probabilities >= np.array([thresholds[label] for label in labels], dtype=np.float32)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        tuple(labels[index] for index in ranks if row[index])
        for ranks, row in zip(order, reached, strict=True)
    ]


def batches(images: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Yield indices of images of equal shape, few enough for one call of ONNX Runtime.

    Raises:
        ValueError: an image has another dtype or shape; the message names it.
    """
    by_shape: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(
                f"image {index} is {image.dtype} {image.shape}; give uint8 [height, width, 3]"
            )
        by_shape[image.shape].append(index)
    for (height, width, _), indices in by_shape.items():
        size = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // (height * width)))
        for start in range(0, len(indices), size):
            yield indices[start : start + size]


def _session(
    graph: Path, precision: ExportPrecision, threads: int | None
) -> "InferenceSession | OpenVinoSession":
    """Load a graph for prediction in a precision; see ``session_of``."""
    if precision != "bf16":
        return session_of(graph, threads)
    import joblib  # type: ignore[import-untyped] # has no types

    try:
        return OpenVinoSession(graph, threads or joblib.cpu_count())
    except ImportError:
        log.warning(
            "the model was exported for bfloat16, and OpenVINO is not installed: ONNX Runtime serves "
            "it in float32, which is slower and more exact; pip install openvino"
        )
        return session_of(graph, threads)


def session_of(graph: Path | bytes, threads: int | None = None) -> "InferenceSession":
    """Load a graph for prediction on the CPU.

    Args:
        graph: its file, or its bytes.
        threads: CPU threads of one prediction; default: as many as this process may use.

    Raises:
        ArtefactError: ONNX Runtime cannot load it.
    """
    import joblib
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # joblib respects a container's CPU quota; ONNX Runtime would count the machine's cores.
    options.intra_op_num_threads = threads or joblib.cpu_count()
    options.inter_op_num_threads = 1
    # Spinning threads burn the core that decodes the next image.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Images come in any size: plans and arenas kept for each would only grow.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        what = graph if isinstance(graph, Path) else "a part of the graph"
        raise ArtefactError(f"{what} cannot be loaded: {error}") from error


def _check_signature(
    session: "InferenceSession | OpenVinoSession", labels: int, folder: Path
) -> None:
    takes = [(value.name, value.type, len(value.shape)) for value in session.get_inputs()]
    gives = [(value.name, value.type, value.shape[-1:]) for value in session.get_outputs()]
    if takes != [("image", "tensor(uint8)", 4)] or gives != [
        ("probabilities", "tensor(float)", [labels])
    ]:
        raise ArtefactError(
            f"{folder / ONNX_MODEL} takes {takes} and gives {gives}; it must take image uint8 "
            f"[batch, height, width, 3] and give probabilities float32 [batch, {labels}]"
        )
