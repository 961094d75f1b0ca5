"""Sensors: the outside world only. Inside the graph, automation conditions decide."""

from typing import Any

import dagster as dg

from assets.image_index import RAW, diff_listing, images_table
from assets.label_index import labels_table, new_snapshots
from assets.line import fingerprint, latest_metadata
from imgclf_dagster.decisions import promotion_config, undone_rejection
from resources.endpoint_host import LocalEndpointHost
from resources.model_registry import MlflowRegistry, ModelPackage
from resources.object_store import ObjectStore
from serving.deployments import DeploymentRecord, record_key

RUNNING = dg.DefaultSensorStatus.RUNNING
INTERVAL_S = 5
"""A laptop's sensors look every few seconds: a look costs one listing."""


@dg.sensor(target="raw_images", minimum_interval_seconds=INTERVAL_S, default_status=RUNNING)
def raw_images_arrival_sensor(
    context: dg.SensorEvaluationContext, store: ObjectStore
) -> dg.SensorResult | dg.SkipReason:
    """Ask for ``raw_images`` when ``raw/`` holds what the image table does not.

    The table is the cursor: what it knows was indexed, so nothing is missed by a restart, an
    upload within the same second, a rewritten or a deleted object.
    """
    store.require()
    known = images_table(store).read(["key", "etag", "status"])
    diff = diff_listing(store.list_table(RAW), known)
    if not diff:
        return dg.SkipReason(f"nothing new among {known.num_rows} known objects")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"raw-{diff.token}")])


@dg.sensor(target="annotations", minimum_interval_seconds=INTERVAL_S, default_status=RUNNING)
def annotations_change_sensor(
    context: dg.SensorEvaluationContext, store: ObjectStore
) -> dg.SensorResult | dg.SkipReason:
    """Ask for ``annotations`` when there are snapshots that the label table has not got."""
    store.require()
    fresh = new_snapshots(store, labels_table(store))
    if not fresh:
        return dg.SkipReason("no new annotation snapshots")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"annotations-{fingerprint(fresh)}")]
    )


@dg.sensor(
    target=["release_approval", "prod_endpoint"],
    minimum_interval_seconds=INTERVAL_S,
    default_status=RUNNING,
)
def registry_approval_sensor(
    context: dg.SensorEvaluationContext,
    registry: MlflowRegistry,
    endpoints: LocalEndpointHost,
) -> dg.SensorResult:
    """Carry the registry's decisions into the graph.

    Approved: ``release_approval`` is asked for, with approver, reason and digest. Rejected while
    in production: the version before it is rolled out again.
    """
    packages = registry.list()
    requests = [
        _approval_request(package)
        for package in packages
        if package.approval_status == "Approved" and not _is_recorded(context.instance, package)
    ]
    rollback = undone_rejection(endpoints, registry)
    if rollback is not None:
        requests.append(_rollback_request(*rollback, deployment=endpoints.current("prod")))
    return dg.SensorResult(run_requests=requests)


def _is_recorded(instance: dg.DagsterInstance, package: ModelPackage) -> bool:
    """Whether ``release_approval`` knows this very approval."""
    known = latest_metadata(instance, "release_approval", partition=package.model_version)
    return (known.get("approved_at"), known.get("digest")) == (
        str(package.approval_changed_at),
        package.digest,
    )


def _approval_request(package: ModelPackage) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"approved-{package.model_version}-{package.approval_changed_at}",
        partition_key=package.model_version,
        asset_selection=[dg.AssetKey("release_approval")],
        run_config=promotion_config(package),
    )


def _rollback_request(
    version: str, config: dict[str, Any], *, deployment: DeploymentRecord | None
) -> dg.RunRequest:
    replaced = record_key(deployment) if deployment else ""
    return dg.RunRequest(
        run_key=f"rollback-{replaced}-{version}",
        partition_key=version,
        asset_selection=[dg.AssetKey("prod_endpoint")],
        run_config=config,
    )


def sensors() -> list[dg.SensorDefinition]:
    """Every sensor, and the one that evaluates the automation conditions."""
    return [
        raw_images_arrival_sensor,
        annotations_change_sensor,
        registry_approval_sensor,
        dg.AutomationConditionSensorDefinition(
            "automation_condition_sensor",
            target=dg.AssetSelection.all(),
            default_status=RUNNING,
            minimum_interval_seconds=INTERVAL_S,
        ),
    ]
