"""Whether an exported graph answers like the net in training."""

import io
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from training.artefact.checked_export import EXPORT_CHECK, MOST_DIFFERENCE, ExportCheck
from training.config import ExportPrecision

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


@dataclass(frozen=True)
class ExportDifference:
    """The largest difference of a probability between a graph and torch.

    Attributes:
        exported: of the exported fp32 graph, 0 to 1.
        images: number of images on which it was compared.
        served: of the stored artefact, as it is served, on the evidence.
        precision: in which it is served.
    """

    exported: float
    images: int
    served: float
    precision: ExportPrecision

    @property
    def largest(self) -> float:
        """The larger of both; NaN if one is NaN."""
        return float(np.maximum(self.exported, self.served))

    def within(self, bound: float) -> bool:
        """Whether the fp32 graph is within ``bound``, and what is served within its precision's."""
        served = MOST_DIFFERENCE.get(self.precision, bound)
        return self.exported <= bound and self.served <= served

    def text(self, bound: float) -> str:
        """Describe it, with the bounds."""
        found = (
            f"largest difference of a probability on {self.images} images: "
            f"{self.exported if self.precision != 'fp32' else self.largest:.2g} (bound {bound:g})"
        )
        if self.precision == "fp32":
            return found
        own = MOST_DIFFERENCE[self.precision]
        return f"{found}; served in {self.precision}: {self.served:.2g} (bound {own:g})"


def export_difference(
    store: ObjectStore, model_key: str, outputs: Mapping[str, bytes]
) -> ExportDifference:
    """Compare the stored artefact with torch.

    The training job compared them on many images. On some of these, its evidence, the stored artefact
    answers again here.

    Args:
        store: holds the artefact.
        model_key: key of the artefact.
        outputs: files of the training job, by name.

    Raises:
        DamagedObject: the evidence, the job's check or the artefact cannot be read.
        KeyMissing: the job wrote no evidence.
    """
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
    checked = ExportCheck(difference=0.0, images=0)
    if EXPORT_CHECK in outputs:
        given = parse_object(store, outputs_key, outputs[EXPORT_CHECK], ExportCheck)
        checked = ExportCheck.model_validate(given)
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        try:
            unpack(store.get(model_key), Path(scratch) / "model")
        except ArtefactError as error:
            raise DamagedObject(model_key, str(error), store.url) from None
        model = OnnxPredictor(Path(scratch) / "model")
        answered = model.predict_images(images)
    served = float(np.abs(answered - expected).max())
    precision = model.manifest.precision
    if EXPORT_CHECK not in outputs:  # a job of older code: only the evidence was compared
        return ExportDifference(served, len(images), served, precision)
    return ExportDifference(checked.difference, checked.images_checked, served, precision)
