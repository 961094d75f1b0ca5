"""Preconditions of a release: records, checks, approval, and the artefact itself."""

from collections.abc import Sequence

from assets.dataset.versions import newest_sources
from assets.evaluation.records import newest_evaluation
from assets.model.digest import actual_digest
from assets.release.verdicts import (
    DATASET_CHECKS,
    MODEL_CHECKS,
    SOURCE_CHECKS,
    STAGING_CHECKS,
    objections,
)
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.registry.registry import ModelPackage
from serving.deployments import DeploymentRecord

RUN_DECISION_TAG = "imgclf/decision"
"""Tag of a run that carries out an approval made in the registry. A run of ``release_approval``
without it is a new decision.
"""


def artefact_objections(store: ObjectStore, package: ModelPackage) -> list[str]:
    """List why the artefact in the store is not the registered one; empty if it is.

    Unpacks and hashes it: what deploys a package asks this, once, right before it deploys.
    """
    try:
        digest = actual_digest(store, package.model_key)
    except (DamagedObject, KeyMissing) as error:
        return [f"the artefact cannot be used: {error}"]
    if digest == package.digest:
        return []
    return [f"the artefact has digest {digest[:12]}, registered is {package.digest[:12]}"]


def package_objections(
    store: ObjectStore, package: ModelPackage, *, after_staging: bool = False
) -> list[str]:
    """List why a package may not be released, by its records and its checks; empty if it may.

    Its artefact must be there, and is not read: see :func:`artefact_objections`.

    Args:
        store: object store of the project.
        package: the package in the registry.
        after_staging: also require the checks of the staging endpoint.
    """
    found: list[str] = []
    try:
        store.head(package.model_key)
    except KeyMissing as error:
        found.append(f"the artefact cannot be used: {error}")
    try:
        if newest_evaluation(store, package.model_version) is None:
            found.append(f"{package.model_version} was never evaluated")
    except DamagedObject as damage:
        found.append(f"its evaluation cannot be read: {damage}")
    found += dataset_objections(store, package.dataset_version)
    subject = f"trained_model/{package.model_version}"
    found += objections(store, subject, MODEL_CHECKS, package.digest)
    if after_staging:
        found += objections(store, subject, STAGING_CHECKS, package.digest)
    return found


def dataset_objections(store: ObjectStore, version: str) -> list[str]:
    """List why a data set, or the tables it was made from, may not be the basis of a release."""
    try:
        sources = newest_sources(store, version)
    except DamagedObject as damage:
        return [f"the sources of data set {version} cannot be read: {damage}"]
    if sources is None:
        return [f"the data set {version} is not in the store {store.url}"]
    found = objections(store, f"dataset/{version}", DATASET_CHECKS)
    for asset, checks in SOURCE_CHECKS.items():
        found += objections(store, f"{asset}/{sources[asset]}", checks)
    return found


def approval_objections(package: ModelPackage) -> list[str]:
    """List why ``package`` is not approved; empty if it is."""
    match package.approval_status:
        case "Approved":
            return [] if package.approver else [f"{package.model_version} has no approver"]
        case "Rejected":
            return [
                f"{package.model_version} was rejected by {package.approver}: "
                f"{package.approval_reason}"
            ]
        case _:
            return [
                f"{package.model_version} waits for approval (imgclf approve "
                f"{package.model_version})"
            ]


def is_overtaken(
    package: ModelPackage, serving: DeploymentRecord, packages: Sequence[ModelPackage]
) -> bool:
    """Whether production follows a later decision than the approval of ``package``.

    Numbered decisions are compared by their numbers. One without a number, from an older home or
    made by hand in the registry, is compared by its time.

    Args:
        package: the package to deploy.
        serving: the newest deployment to production.
        packages: all packages in the registry.
    """
    numbers = (known.decision for known in packages if known.digest == serving.digest)
    followed = max([serving.decision, *numbers])
    if package.decision:
        return package.decision <= followed  # 0: a deployment of an older home
    return package.decision_order <= max(followed, serving.created_ms)


def overtaken_objections(
    package: ModelPackage, serving: DeploymentRecord | None, packages: Sequence[ModelPackage]
) -> list[str]:
    """List why the approval of ``package`` is void: production follows a later decision.

    Args:
        package: the package to deploy.
        serving: the newest deployment to production; ``None``: there is none.
        packages: all packages in the registry.
    """
    if serving is None or serving.digest == package.digest:
        return []
    live = next((known for known in packages if known.digest == serving.digest), None)
    if live is None or live.approval_status != "Approved":  # any package may replace a rejected one
        return []
    if not is_overtaken(package, serving, packages):
        return []
    return [
        f"its approval was superseded by that of {live.model_version} by {live.approver}, which "
        f"is in production: approve {package.model_version} again to deploy it instead"
    ]
