"""Whether an exported graph answers like the net in training."""

import io
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from training.artefact.checked_export import EXPORT_CHECK, ExportCheck

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


def export_difference(
    store: ObjectStore, model_key: str, outputs: Mapping[str, bytes]
) -> tuple[float, int]:
    """Return the largest absolute difference of a probability between the ONNX graph and torch.

    The training job compared them on many images. On some of these, its evidence, the stored artefact
    answers again here.

    Args:
        store: holds the artefact.
        model_key: key of the artefact.
        outputs: files of the training job, by name.

    Returns:
        The difference (0 to 1) and the number of images.

    Raises:
        DamagedObject: the evidence, the job's check or the artefact cannot be read.
        KeyMissing: the job wrote no evidence.
    """
    import numpy as np

    from training.artefact.artefact import unpack
    from training.artefact.evidence import read_evidence
    from training.artefact.predictor import OnnxPredictor
    from training.errors import ArtefactError

    outputs_key = f"{model_key.rpartition('/')[0]}/output.tar.gz"
    evidence = outputs["export_check.npz"]
    try:
        images, expected = read_evidence(io.BytesIO(evidence))
    except _UNREADABLE as error:
        raise DamagedObject(outputs_key, f"its evidence: {error}", store.url) from None
    checked = ExportCheck(difference=0.0, images=len(images))  # jobs of older code wrote none
    if EXPORT_CHECK in outputs:
        given = parse_object(store, outputs_key, outputs[EXPORT_CHECK], ExportCheck)
        checked = ExportCheck.model_validate(given)
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        try:
            unpack(store.get(model_key), Path(scratch) / "model")
        except ArtefactError as error:
            raise DamagedObject(model_key, str(error), store.url) from None
        answered = OnnxPredictor(Path(scratch) / "model").predict_images(images)
    again = float(np.abs(answered - expected).max())
    return float(np.maximum(again, checked.difference)), checked.images_checked  # NaN if one is
