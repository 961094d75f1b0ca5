"""What must be true of a package before it may be deployed; asked again by everything that deploys."""

from assets.dataset_build import newest_sources
from assets.evaluation_records import newest_evaluation
from assets.verdicts import (
    DATASET_CHECKS,
    MODEL_CHECKS,
    SOURCE_CHECKS,
    STAGING_CHECKS,
    objections,
)
from resources.model_registry import ModelPackage
from resources.object_store import ObjectStore
from resources.store_errors import KeyMissing


def actual_digest(store: ObjectStore, model_key: str) -> str:
    """The digest of the artefact as it lies in the store, every member verified.

    Raises:
        training.errors.ArtefactError: the artefact is damaged.
        resources.store_errors.KeyMissing: it is not there.
    """
    import tempfile
    from pathlib import Path

    from training.artefact import digest, unpack

    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        archive = store.local_path(model_key) or Path(scratch) / "model.tar.gz"
        if not archive.exists():
            store.download(model_key, archive)
        return digest(unpack(archive, Path(scratch) / "model"))


def package_objections(
    store: ObjectStore, package: ModelPackage, *, after_staging: bool = False
) -> list[str]:
    """Why ``package`` may not be deployed, by its artefact and its own checks; empty if it may.

    Args:
        after_staging: also demand what is checked on the staging endpoint.
    """
    from training.errors import ArtefactError

    found: list[str] = []
    try:
        digest = actual_digest(store, package.model_key)
        if digest != package.digest:
            found.append(
                f"the artefact has digest {digest[:12]}, registered is {package.digest[:12]}"
            )
    except (ArtefactError, KeyMissing) as error:
        found.append(f"the artefact cannot be used: {error}")
    evaluation = newest_evaluation(store, package.model_version)
    if evaluation is None:
        found.append(f"{package.model_version} was never evaluated")
    found += dataset_objections(store, package.dataset_version)
    subject = f"trained_model/{package.model_version}"
    found += objections(store, subject, MODEL_CHECKS, package.digest)
    if after_staging:
        found += objections(store, subject, STAGING_CHECKS, package.digest)
    return found


def dataset_objections(store: ObjectStore, version: str) -> list[str]:
    """Why the data set ``version``, or what it was made from, must not make a served model."""
    sources = newest_sources(store, version)
    if sources is None:
        return [f"the data set {version} is not in the store {store.url}"]
    found = objections(store, f"dataset/{version}", DATASET_CHECKS)
    for asset, checks in SOURCE_CHECKS.items():
        found += objections(store, f"{asset}/{sources[asset]}", checks)
    return found


def approval_objections(package: ModelPackage) -> list[str]:
    """Why the registry does not let ``package`` into production; empty if it is approved."""
    match package.approval_status:
        case "Approved":
            return [] if package.approver else [f"{package.model_version} is approved by nobody"]
        case "Rejected":
            return [
                f"{package.model_version} was rejected by {package.approver}: {package.approval_reason}"
            ]
        case _:
            return [
                f"{package.model_version} waits for approval (imgclf approve {package.model_version})"
            ]
