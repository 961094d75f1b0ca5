"""Unpacks, verifies, loads and warms models, so that they are ready for requests."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from object_store.errors import KeyMissing
from serving.deployments import DeploymentRecord
from serving.errors import ModelUnusable
from training.artefact.artefact import ArtefactManifest, read_artefact_manifest, unpack
from training.artefact.artefact import digest as digest_of
from training.artefact.predictor import OnnxPredictor
from training.errors import ArtefactError


def load_model(
    record: DeploymentRecord, download: Callable[[str, Path], None], *, threads: int
) -> OnnxPredictor:
    """Load and warm the model that ``record`` names.

    Args:
        record: deployment record.
        download: writes an object of the store (key) to a file.
        threads: threads of one prediction.

    Raises:
        ModelUnusable: the artefact is missing, damaged, not the one of the record, or does not
            predict.
        StoreError: the store does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="imgclf-serving-") as scratch:
        archive, folder = Path(scratch, "model.tar.gz"), Path(scratch, "model")
        try:
            download(record.model_key, archive)
            manifest = unpack(archive, folder)
        except KeyMissing:
            raise ModelUnusable(f"the store has no {record.model_key}") from None
        except ArtefactError as error:
            raise ModelUnusable(str(error).replace(str(archive), record.model_key)) from error
        check_identity(
            manifest,
            model_version=record.model_version,
            digest=record.digest,
            what=record.model_key,
            meant_by="the deployment record",
        )
        return warm_model(folder, threads=threads)


def check_identity(
    manifest: ArtefactManifest, *, model_version: str, digest: str, what: str, meant_by: str
) -> None:
    """Check that an artefact has the expected version and digest.

    Args:
        manifest: of the artefact.
        model_version: expected version.
        digest: expected digest, 64 hex digits.
        what: name of the artefact, for the error message.
        meant_by: origin of the expected values, for the error message.

    Raises:
        ModelUnusable: it is another artefact.
    """
    actual = digest_of(manifest)
    if actual != digest:
        raise ModelUnusable(f"{what} has digest {actual[:12]}…, {meant_by} means {digest[:12]}…")
    if manifest.model_version != model_version:
        raise ModelUnusable(
            f"{what} is the model {manifest.model_version}, {meant_by} means {model_version}"
        )


def warm_model(folder: Path, *, threads: int) -> OnnxPredictor:
    """Load the verified artefact in ``folder`` and make its first prediction.

    Raises:
        ModelUnusable: it does not predict.
    """
    try:
        predictor = OnnxPredictor(folder, threads=threads)
        # The first prediction allocates and is slow: make it before a client waits for it.
        side = predictor.manifest.input_size
        predictor.predict_images([np.zeros((side, side, 3), np.uint8)])
    except Exception as error:  # any error of onnxruntime
        version = read_artefact_manifest(folder).model_version
        raise ModelUnusable(f"{version} does not predict: {error}") from error
    return predictor
