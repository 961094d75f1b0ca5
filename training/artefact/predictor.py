"""The model as it is served: an ONNX graph that takes pixels and answers with probabilities.

Evaluation and serving use this one class, so that what is measured is what answers.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.artefact.artefact import ONNX_MODEL, ArtefactManifest, digest, read_artefact_manifest
from training.errors import ArtefactError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_BATCH_IMAGES = 8
"""Images of one call into ONNX Runtime. On CPUs bigger batches are no faster: MobileNetV2 at
160 px did 700 images/s in batches of 8 and 400 in batches of 32, which outgrow the caches."""

MAX_BATCH_PIXELS = 4_000_000
"""Pixels of one call: the graph widens them to float32 before it resizes them (12 bytes a pixel
and copy), so this keeps a batch near 100 MB. A bigger image goes alone."""


class OnnxPredictor:
    """A model artefact, ready to predict. Safe to share between threads.

    Attributes:
        manifest: the artefact's manifest.
        digest: sha256 of the manifest, which identifies the artefact.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """Load the artefact unpacked in ``folder`` (``training.artefact.artefact.unpack`` verified it).

        Args:
            folder: holds ``manifest.json`` and ``model.onnx``.
            threads: CPU threads of one prediction; as many as this process may use unless given.

        Raises:
            ArtefactError: the folder holds no model, or one that breaks the contract.
        """
        self.manifest: ArtefactManifest = read_artefact_manifest(folder)
        self.digest: str = digest(self.manifest)
        self._session = _session(folder / ONNX_MODEL, threads)
        _check_signature(self._session, len(self.labels), folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of what ``predict_images`` returns."""
        return self.manifest.labels

    def predict_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The probability of each label for each image.

        Images of equal size go through the net together, in bounded batches. Decode them with
        ``fit=manifest.input_size``, as training did.

        Args:
            images: RGB pixels, each uint8 [height, width, 3]; sizes may differ.

        Returns:
            float32 [len(images), len(labels)]. Rows of a single_label model add up to 1.

        Raises:
            ValueError: an image is something else; the message says which.
            ArtefactError: the model answered with something that is no probability.
        """
        probabilities = np.empty((len(images), len(self.labels)), dtype=np.float32)
        for indices in _batches(images):
            batch = np.stack([images[index] for index in indices])
            probabilities[indices] = self._run(batch)
        return probabilities

    def decide(self, probabilities: np.ndarray) -> list[tuple[str, ...]]:
        """The labels the model gives each image.

        Args:
            probabilities: float [n, labels], from ``predict_images``.

        Returns:
            For single_label the most probable one; for multi_label all that reach their
            threshold (perhaps none), the most probable first.
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


def _batches(images: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Indices of images of equal shape, few enough for one call."""
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


def _session(path: Path, threads: int | None) -> "InferenceSession":
    import joblib  # type: ignore[import-untyped]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # joblib counts what a container's quota allows; ONNX Runtime would count the machine's cores.
    options.intra_op_num_threads = threads or joblib.cpu_count()
    options.inter_op_num_threads = 1
    # Spinning threads burn the core that decodes the next image.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Images come in any size: plans and arenas kept for each would only grow.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise ArtefactError(f"{path} cannot be loaded: {error}") from error


def _check_signature(session: "InferenceSession", labels: int, folder: Path) -> None:
    takes = [(value.name, value.type, len(value.shape)) for value in session.get_inputs()]
    gives = [(value.name, value.type, value.shape[-1:]) for value in session.get_outputs()]
    if takes != [("image", "tensor(uint8)", 4)] or gives != [
        ("probabilities", "tensor(float)", [labels])
    ]:
        raise ArtefactError(
            f"{folder / ONNX_MODEL} takes {takes} and gives {gives}; it must take image uint8 "
            f"[batch, height, width, 3] and give probabilities float32 [batch, {labels}]"
        )
