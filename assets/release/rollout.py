"""Rolling out: a package is deployed to a stage, and the deployment becomes the asset's metadata."""

import dagster as dg

from resources.endpoints.endpoint_host import DeploymentFailed, Endpoints, HostUnavailable
from resources.registry.registry import ModelPackage
from resources.transience import is_transient
from serving.deployments import EndpointStatus, Stage


def roll_out(
    context: dg.AssetExecutionContext,
    endpoints: Endpoints,
    package: ModelPackage,
    stage: Stage,
    *,
    by: str,
    reason: str,
    decision: int = 0,
) -> dg.MaterializeResult:
    """Deploy a package, and describe its endpoint.

    Args:
        context: of the asset that deploys.
        endpoints: of the profile.
        package: to deploy.
        stage: to deploy to.
        by: the person or program that deploys, for the record.
        reason: of the deployment, for the record.
        decision: number of the approval decision that this carries out; 0 for none.

    Raises:
        dagster.Failure: the stage does not serve the package.
    """
    try:
        status: EndpointStatus = endpoints.deploy(
            stage=stage,
            model_version=package.model_version,
            digest=package.digest,
            model_key=package.model_key,
            deployed_by=by,
            reason=reason,
            run_id=context.run.run_id,
            decision=decision,
            on_event=context.log.info,
        )
    except (DeploymentFailed, HostUnavailable) as error:
        raise dg.Failure(
            f"{package.model_version} is not on {stage}: {error}",
            allow_retries=is_transient(error),
        ) from error
    return dg.MaterializeResult(
        data_version=dg.DataVersion(package.digest),
        metadata={
            "model_version": package.model_version,
            "digest": package.digest,
            "endpoint": status.name,
            **{what: dg.MetadataValue.url(url) for what, url in endpoints.links(stage).items()},
            "deployed_by": by,
            "reason": reason,
            "since": str(status.since),
        },
    )
