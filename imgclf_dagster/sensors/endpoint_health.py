"""The sensor that compares the newest deployment record of a stage with what it serves.

A deployment writes its record first. If the record is not served in the end, the deployment was
killed or somebody changed the endpoint; deploying the record again repairs both.
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.line import MODEL_VERSIONS
from imgclf_dagster.runs.asking import Tick, ask, under_way
from imgclf_dagster.runs.jobs import PROMOTION, RELEASE_CANDIDATE
from resources.endpoints.endpoint_host import Endpoints, HostUnavailable
from resources.registry.registry import ModelRegistry, PackageMissing
from serving.deployments import DeploymentRecord, EndpointStatus, Stage, record_key

ASSETS = {"prod": "prod_endpoint", "staging": "staging_endpoint"}
RELEASE = ("registered_package", "staging_endpoint", "release_approval", "prod_endpoint")
JOBS = (RELEASE_CANDIDATE, PROMOTION)
PROD_FIRST: tuple[Stage, ...] = ("prod", "staging")
"""Order of repairing: production first, one stage at a time."""


@dataclass(frozen=True)
class EndpointFinding:
    """The state of a stage.

    Attributes:
        text: the state as a sentence.
        record: the record to deploy again; ``None`` if none has to be.
        trouble: whether the state is worth a warning.
    """

    text: str
    record: DeploymentRecord | None = None
    trouble: bool = False


@dg.sensor(
    target=["staging_endpoint", "prod_endpoint"],
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Deploys the recorded model again when an endpoint serves another one or none. It "
    "waits while a deployment runs, and does nothing for a package that may not be deployed.",
)
def endpoint_health_sensor(
    context: dg.SensorEvaluationContext, registry: ModelRegistry, endpoints: Endpoints
) -> Tick:
    """Request the endpoint of a stage whose newest record differs from what it serves.

    Args:
        context: Dagster's context.
        registry: the model registry.
        endpoints: where models are served.

    Returns:
        A run request, or the reason for none.
    """
    waiting = []
    if run_id := under_way(context.instance, RELEASE, JOBS):
        return dg.SkipReason(f"run {run_id} is under way")
    for stage in PROD_FIRST:
        finding = examine_stage(stage, registry, endpoints, context.instance)
        if finding.trouble:
            context.log.warning(finding.text)
        if finding.record is not None:
            tick = _deploy_again(context.instance, finding.record)
            if isinstance(tick, dg.SensorResult):
                return tick
            finding = EndpointFinding(f"{finding.text}; {tick.skip_message}")
        waiting.append(finding.text)
    return dg.SkipReason("; ".join(waiting))


def examine_stage(
    stage: Stage, registry: ModelRegistry, endpoints: Endpoints, instance: dg.DagsterInstance
) -> EndpointFinding:
    """Compare the newest record of a stage with what it serves.

    Costs one listing, one object and one description; only trouble costs more.

    Args:
        stage: ``prod`` or ``staging``.
        registry: the model registry.
        endpoints: the endpoints of the profile.
        instance: Dagster's instance.
    """
    try:
        status = endpoints.describe(stage)
    except HostUnavailable as error:
        return EndpointFinding(f"{stage}: {error}")
    record = endpoints.readable(stage) if _is_unserved(status) else None
    if record is None and _is_unserved(status):  # the record is damaged
        why = f"{stage}: {status.failure_reason or status.status}"
        return EndpointFinding(
            f"{why}; approve a model (imgclf approve) or imgclf rollback", trouble=True
        )
    if record is None or record_key(record) != status.record_key:
        return EndpointFinding(
            f"{stage}: {status.model_version or 'nothing'} is served ({status.status})"
        )
    trouble = f"{stage}: {status.failure_reason or f'{status.name} is {status.status}'}"
    hindrance = _hindrance(record, registry, instance)
    if hindrance:
        return EndpointFinding(f"{trouble}; not deployed again: {hindrance}", trouble=True)
    return EndpointFinding(trouble, record, trouble=True)


def _is_unserved(status: EndpointStatus) -> bool:
    """Whether the endpoint neither serves the newest record nor is being updated."""
    return status.record_key is not None and not status.changing and status.status != "InService"


def _hindrance(
    record: DeploymentRecord, registry: ModelRegistry, instance: dg.DagsterInstance
) -> str:
    """Return why the recorded model must not or cannot be deployed again; "" if it can."""
    version = record.model_version
    try:
        package = registry.get(version)
    except PackageMissing as error:
        return str(error)
    if package.digest != record.digest:
        return (
            f"{version} is registered with digest {package.digest[:12]}, "
            f"and the record names {record.digest[:12]}"
        )
    if package.approval_status == "Rejected":
        return f"{version} was rejected by {package.approver or 'somebody'}"
    if record.stage == "prod" and package.approval_status != "Approved":
        return f"{version} is not approved"
    if version not in instance.get_dynamic_partitions(str(MODEL_VERSIONS.name)):
        return (
            f"Dagster does not know {version} (was its database deleted?): add it to the "
            f"partitions of {MODEL_VERSIONS.name}, or deploy another version"
        )
    return ""


def _deploy_again(instance: dg.DagsterInstance, record: DeploymentRecord) -> Tick:
    asset = ASSETS[record.stage]
    config: dict[str, Any] = {"deployed_by": record.deployed_by, "reason": record.reason}
    return ask(
        instance,
        asset,
        record_key(record),
        jobs=JOBS,
        beside=RELEASE,
        partition=record.model_version,
        run_config={"ops": {asset: {"config": config}}} if record.stage == "prod" else None,
        recurs=True,  # a repair writes no record, so the next drift has the same token
    )
