"""Whether an exported graph answers like the net in training."""

import io
import tempfile
import zipfile
import zlib
from pathlib import Path

from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore

_UNREADABLE = (
    ValueError,
    KeyError,
    OSError,
    EOFError,  # it is empty
    TypeError,  # it is a single array
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors that NumPy raises for a damaged ``.npz``."""


def export_difference(store: ObjectStore, model_key: str, evidence: bytes) -> tuple[float, int]:
    """Return the largest absolute difference of a probability between the ONNX graph and torch.

    Args:
        store: holds the artefact.
        model_key: key of the artefact.
        evidence: bytes of the training job's ``.npz``: images and torch's probabilities for them.

    Returns:
        The difference (0 to 1) and the number of images.

    Raises:
        DamagedObject: the evidence or the artefact cannot be read.
    """
    import numpy as np

    from training.artefact.artefact import unpack
    from training.artefact.evidence import read_evidence
    from training.artefact.predictor import OnnxPredictor
    from training.errors import ArtefactError

    try:
        images, expected = read_evidence(io.BytesIO(evidence))
    except _UNREADABLE as error:
        key = f"{model_key.rpartition('/')[0]}/output.tar.gz"
        raise DamagedObject(key, f"its evidence: {error}", store.url) from None
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        try:
            unpack(store.get(model_key), Path(scratch) / "model")
        except ArtefactError as error:
            raise DamagedObject(model_key, str(error), store.url) from None
        answered = OnnxPredictor(Path(scratch) / "model").predict_images(images)
    return float(np.abs(answered - expected).max()), len(images)
