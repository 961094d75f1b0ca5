"""Rolling out: a package is deployed to a stage, and the deployment becomes the asset's metadata."""

import dagster as dg

from resources.endpoints.endpoint_host import DeploymentFailed, Endpoints, HostUnavailable
from resources.transience import is_transient
from serving.deployments import Deployment


def roll_out(
    context: dg.AssetExecutionContext, endpoints: Endpoints, deployment: Deployment
) -> dg.MaterializeResult:
    """Deploy a package, and describe its endpoint.

    Args:
        context: of the asset that deploys.
        endpoints: of the profile.
        deployment: the package, its stage, and what the record says about them.

    Raises:
        dagster.Failure: the stage does not serve the package.
    """
    try:
        status = endpoints.deploy(deployment, on_event=context.log.info)
    except (DeploymentFailed, HostUnavailable) as error:
        raise dg.Failure(
            f"{deployment.model_version} is not on {deployment.stage}: {error}",
            allow_retries=is_transient(error),
        ) from error
    links = endpoints.links(deployment.stage)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(deployment.digest),
        metadata={
            "model_version": deployment.model_version,
            "digest": deployment.digest,
            "endpoint": status.name,
            **{what: dg.MetadataValue.url(url) for what, url in links.items()},
            "deployed_by": deployment.deployed_by,
            "reason": deployment.reason,
            "since": str(status.since),
        },
    )
