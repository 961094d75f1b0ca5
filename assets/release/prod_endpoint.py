"""The asset prod_endpoint: the approved package answers in production."""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from assets.release.release_approval import release_approval
from assets.release.release_asset import find_package, refuse_on, release_asset
from assets.release.rollout import roll_out
from assets.release.verification import (
    approval_objections,
    artefact_objections,
    overtaken_objections,
    package_objections,
)
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelPackage, ModelRegistry
from serving.deployments import Deployment, version_in


class RolloutConfig(dg.Config):
    """Who rolls out and why; empty: as the approval says."""

    deployed_by: str = Field("", description="Empty: who approved the package.")
    reason: str = Field("", description="Empty: the reason of the approval.")


@release_asset(
    after=release_approval,
    kinds={"onnx"},
    description="The production endpoint, serving this package. Verifies the approval, the "
    "digest and every blocking check of this version again before it deploys.",
)
def prod_endpoint(
    context: dg.AssetExecutionContext,
    config: RolloutConfig,
    store: dg.ResourceParam[ObjectStore],
    registry: ModelRegistry,
    endpoints: Endpoints,
) -> dg.MaterializeResult:
    """Deploy the approved package to production and wait until it answers with its digest.

    Args:
        context: Dagster's context.
        config: who deploys and why; empty: the approver and the reason of the approval.
        store: the object store.
        registry: the model registry.
        endpoints: where models are served.

    Returns:
        Version, digest and endpoint, as metadata.
    """
    package, packages = find_package(registry, context.partition_key), registry.list()
    objections = approval_objections(package)
    objections += package_objections(store, package, after_staging=True)
    if not config.deployed_by:  # set for a rollback only
        objections += overtaken_objections(package, endpoints.readable("prod"), packages)
    # Last, right before it is served: unpacking and hashing a model takes longer than all the rest.
    objections = objections or artefact_objections(store, package)
    refuse_on(package.model_version, objections, "deployed to production")
    deployment = Deployment(
        stage="prod",
        model_version=package.model_version,
        digest=package.digest,
        model_key=package.model_key,
        deployed_by=config.deployed_by or package.approver,
        reason=config.reason or package.approval_reason,
        run_id=context.run.run_id,
        decision=newest_decision(package, packages, endpoints),
    )
    return roll_out(context, endpoints, deployment)


def newest_decision(
    package: ModelPackage, packages: Sequence[ModelPackage], endpoints: Endpoints
) -> int:
    """Return the number of the decision that a rollout carries out.

    It is the newest about the package, or about the one that it replaces (a rejection).

    Args:
        package: the package to deploy.
        packages: all packages in the registry.
        endpoints: know which package is in production.
    """
    involved = {package.model_version, version_in(endpoints.newest_key("prod") or "")}
    return max(known.decision for known in packages if known.model_version in involved)
