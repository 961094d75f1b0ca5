"""A model that is unpacked, verified, loaded and warm: ready to answer the next request."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from serving.deployments import DeploymentRecord
from serving.errors import ModelUnusable
from training.artefact import ArtefactManifest, digest, unpack
from training.errors import ArtefactError
from training.predictor import OnnxPredictor


def load_model(
    record: DeploymentRecord, download: Callable[[str, Path], None], *, threads: int
) -> OnnxPredictor:
    """Load and warm the model that ``record`` names.

    Args:
        record: what to serve.
        download: writes an object of the store (key) to a file.
        threads: threads of one prediction.

    Raises:
        ModelUnusable: the artefact is missing, damaged, not the one the record means, or it
            does not predict.
        Exception: whatever ``download`` raises when the store does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="imgclf-serving-") as scratch:
        archive, folder = Path(scratch, "model.tar.gz"), Path(scratch, "model")
        try:
            download(record.model_key, archive)
            manifest = unpack(archive, folder)
        except FileNotFoundError:
            raise ModelUnusable(f"the store has no {record.model_key}") from None
        except ArtefactError as error:
            raise ModelUnusable(str(error).replace(str(archive), record.model_key)) from error
        _check_identity(record, manifest)
        try:
            predictor = OnnxPredictor(folder, threads=threads)
            # The first prediction allocates and is slow: make it before a client waits for it.
            side = manifest.input_size
            predictor.predict_images([np.zeros((side, side, 3), np.uint8)])
        except Exception as error:  # whatever onnxruntime says of a graph it cannot run
            raise ModelUnusable(f"{record.model_version} does not predict: {error}") from error
    return predictor


def _check_identity(record: DeploymentRecord, manifest: ArtefactManifest) -> None:
    actual = digest(manifest)
    if actual != record.digest:
        raise ModelUnusable(
            f"{record.model_key} has digest {actual[:12]}…, the deployment record means "
            f"{record.digest[:12]}…"
        )
    if manifest.model_version != record.model_version:
        raise ModelUnusable(
            f"{record.model_key} is the model {manifest.model_version}, the deployment record "
            f"means {record.model_version}"
        )
