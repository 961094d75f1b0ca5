"""Features that a training job takes from earlier jobs, and those that it leaves for later ones."""

import logging
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.config import Hyperparameters
from training.container.container import JobContainer
from training.embedding.backbone import backbone_name
from training.embedding.features import FEATURES_SCHEMA, packed_features
from training.embedding.stored import feature_files, known_features
from training.errors import PermanentFailure
from training.fitting.halves import HALF

if TYPE_CHECKING:
    from training.fitting.architectures import Classifier

log = logging.getLogger("training")

TRAINING_FEATURES = "features.parquet"
"""Output of a training job: features that it computed, in ``FEATURES_SCHEMA``; the name of the backbone
is in the schema's metadata under ``BACKBONE``."""

BACKBONE = "backbone"

MOST_BYTES = 256 * 2**20
"""Of more features a job keeps none: the output archive is read at once."""


def backbone_of(rows: pa.Table) -> str:
    """Return the name of the backbone that computed the features of a training job.

    Raises:
        KeyError: the table does not say.
    """
    return (rows.schema.metadata or {})[BACKBONE.encode()].decode()


class ReusedFeatures:
    """The features of a training job's images.

    Args:
        container: of the job; its channel ``features`` has those of earlier jobs, see
            ``training.embedding.stored``.
        backbone: name of the job's backbone.
        width: length of an image's features.
    """

    def __init__(self, container: JobContainer, backbone: str, width: int) -> None:
        folder = container.optional_channel("features")
        self._files = feature_files(folder, f"{backbone}/") if folder else []
        self._target = container.output_dir / TRAINING_FEATURES
        self._backbone, self._width = backbone, width

    @classmethod
    def of_job(
        cls, container: JobContainer, net: "Classifier", parameters: Hyperparameters
    ) -> Self | None:
        """Prepare; ``None`` for a job whose net learns, or with a precision of its own.

        Args:
            container: of the job.
            net: whose backbone computes the features.
            parameters: of the job.
        """
        if parameters.recipe != "probe" or parameters.precision != "auto":
            return None
        return cls(container, backbone_name(net, parameters.architecture), net.head.in_features)

    def known(self, images: list[str]) -> np.ndarray:
        """Read the features of images (sha256): float16 [n, d], NaN for an image without.

        Of damaged files none are read.
        """
        try:
            found = known_features(self._files, images, HALF)
        except PermanentFailure as error:
            log.warning("the job computes all features: %s", error)
            found = None
        if found is None or found.shape[1] != self._width:
            return np.full((len(images), self._width), np.nan, HALF)
        return found

    def keep(self, images: list[str], features: np.ndarray) -> None:
        """Leave the features of images, float16 [n, d], as an output of the job."""
        if not images or features.nbytes > MOST_BYTES:
            return
        rows = pa.table([images, packed_features(features)], schema=FEATURES_SCHEMA)
        rows = rows.replace_schema_metadata({BACKBONE: self._backbone})
        # Not compressed: the archive is.
        pq.write_table(rows, self._target, compression="none", use_dictionary=False)
