"""The asset staging_endpoint: the registered package answers on staging."""

import dagster as dg

from assets.release.registered_package import registered_package
from assets.release.release_asset import find_package, refuse_on, release_asset
from assets.release.rollout import roll_out
from assets.release.verification import artefact_objections, package_objections
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelRegistry
from serving.deployments import Deployment


@release_asset(
    after=registered_package,
    kinds={"onnx"},
    description="The staging endpoint, serving this package.",
)
def staging_endpoint(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    registry: ModelRegistry,
    endpoints: Endpoints,
) -> dg.MaterializeResult:
    """Deploy the registered package to staging and wait until it answers with its digest.

    Args:
        context: Dagster's context.
        store: the object store.
        registry: the model registry.
        endpoints: where models are served.

    Returns:
        Version, digest and endpoint, as metadata.
    """
    package = find_package(registry, context.partition_key)
    objections = package_objections(store, package) or artefact_objections(store, package)
    refuse_on(package.model_version, objections, "deployed to staging")
    deployment = Deployment(
        stage="staging",
        model_version=package.model_version,
        digest=package.digest,
        model_key=package.model_key,
        deployed_by="imgclf",
        reason="candidate passed its checks",
        run_id=context.run.run_id,
    )
    return roll_out(context, endpoints, deployment)
