"""Sensors for new images and for decisions of the registry, and the list of all sensors.

Sensors watch what changes outside Dagster; inside, automation conditions decide.
"""

import inspect
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from assets.ingestion.image_index import LEDGER, RAW, diff_listing, images_table, newest_rows
from assets.ingestion.refusals import readable_again, refused_keys
from assets.ingestion.sweep import Sweep, sweep_step
from assets.line import Line, fingerprint
from assets.records.materializations import newest_materialization
from assets.records.raw_images import RawImagesRecord
from assets.records.release_approval import ReleaseApprovalRecord
from imgclf_dagster.decisions import (
    live_deployment,
    promotion_config,
    promotion_tags,
    undone_rejection,
)
from imgclf_dagster.runs.asking import Tick, ask
from imgclf_dagster.runs.orphans import reap_orphaned_runs
from imgclf_dagster.sensors.endpoint_health import endpoint_health_sensor
from imgclf_dagster.sensors.labels import annotations_change_sensor, when_hinted
from imgclf_dagster.sensors.queue import labelling_queue_sensor
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore
from resources.arrivals.arrivals import Arrivals, ArrivalsError, pending_notices
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelPackage, ModelRegistry
from serving.deployments import DeploymentRecord, record_key

RUNNING = dg.DefaultSensorStatus.RUNNING
INTERVAL_S = 5
"""Seconds between two evaluations, where one costs the listing of a folder (settings: [sensors])."""


@dg.sensor(
    target="raw_images",
    default_status=RUNNING,
    description="Starts raw_images when objects below raw/ are new, changed or deleted. A folder is "
    "listed as a whole. A bucket is listed in windows; its notifications are read first, if it has a "
    "queue.",
)
def raw_images_arrival_sensor(
    context: dg.SensorEvaluationContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
    arrivals: dg.ResourceParam[Arrivals],
) -> Tick:
    """Request ``raw_images`` when ``raw/`` differs from the image table.

    Args:
        context: Dagster's context.
        store: the object store.
        line: the settings of the line.
        arrivals: notices of new objects.

    Returns:
        A run request, or the reason for none.
    """
    # The table is the ledger: it knows what was indexed, so a restart, an upload within the same
    # second, a rewritten and a deleted object are all noticed.
    reap_orphaned_runs(context.instance)  # a killed `imgclf run` would block sensors and conditions
    store.require()
    try:
        if store.is_bucket:
            return _look_at_notices(context, store, line, arrivals)
        return _look_at_the_folder(context, store)
    except DamagedObject as damage:  # the asset moves it aside and rebuilds its content
        context.log.warning(str(damage))
        return ask(context.instance, "raw_images", fingerprint([damage.key, damage.flaw]))


def _look_at_the_folder(context: dg.SensorEvaluationContext, store: ObjectStore) -> Tick:
    table = images_table(store)
    known = newest_rows(table.read(LEDGER))
    diff = diff_listing(store.list_table(RAW), known)
    again = readable_again(store, refused_keys(known))
    # A killed run may have indexed images without a materialization.
    made = newest_materialization(context.instance, store, RawImagesRecord)
    seen_version = made.table_version if made else None
    is_indexed = (
        seen_version in (None, table.version()) if _is_made(context) else not known.num_rows
    )
    if not diff and not again and is_indexed:
        return dg.SkipReason(f"nothing new among {known.num_rows} known objects")
    # The table's version makes the token of an object that was deleted and restored a new one.
    return ask(context.instance, "raw_images", fingerprint([diff.token, table.version(), *again]))


def _is_made(context: dg.SensorEvaluationContext) -> bool:
    return context.instance.get_latest_materialization_event(dg.AssetKey("raw_images")) is not None


def _look_at_notices(
    context: dg.SensorEvaluationContext, store: ObjectStore, line: Line, arrivals: Arrivals
) -> Tick:
    """Collect notices, and request a run for the images that they name."""
    every_s = line.ingestion.reconcile_every_s if arrivals.tells else line.ingestion.list_every_s
    trouble = ""
    try:
        arrivals.collect(store, context.log.warning)
    except ArrivalsError as error:  # the listing finds the same objects
        every_s, trouble = line.ingestion.list_every_s, f"; {error}"
        context.log.error(str(error))
    sweep = Sweep.from_cursor(context.cursor)
    if sweep.is_due(time.time(), every_s):
        context.update_cursor(sweep_step(store, sweep, time.time()).to_cursor())
    notices = pending_notices(store)
    if not notices:
        return dg.SkipReason(f"nothing has arrived{trouble}")
    # The oldest notice identifies the request: it remains as long as no run has read it.
    config = {"ops": {"raw_images": {"config": {"noticed_only": True}}}}
    return ask(context.instance, "raw_images", fingerprint(notices[0]), run_config=config)


@dg.sensor(
    target=["release_approval", "prod_endpoint"],
    default_status=RUNNING,
    description="Starts release_approval and prod_endpoint after an approval in the registry. After "
    "the rejection of the model in production, the previous version is rolled out again.",
)
def registry_approval_sensor(
    context: dg.SensorEvaluationContext,
    store: dg.ResourceParam[ObjectStore],
    registry: ModelRegistry,
    endpoints: Endpoints,
) -> dg.SensorResult:
    """Request the assets that carry out the newest decisions of the registry.

    Args:
        context: Dagster's context.
        store: the object store.
        registry: the model registry.
        endpoints: where models are served.

    Returns:
        Run requests for approved packages and for rollbacks.
    """
    requests = []
    packages = registry.list()
    for package in sorted(packages, key=lambda known: known.decision_order):
        if package.approval_status != "Approved" or _is_recorded(context, store, package):
            continue
        if package.approver:
            requests.append(_approval_request(package))
        else:
            context.log.warning(
                f"{package.model_version} has no approver, so it is not released: set the "
                f"tag approver in the registry, or run imgclf approve {package.model_version}"
            )
    rollback = undone_rejection(endpoints, registry)
    if rollback is not None:
        live = live_deployment(endpoints, registry)
        numbers = [p.decision for p in packages if live is not None and p.digest == live.digest]
        requests.append(
            _rollback_request(*rollback, deployment=live, decision=max(numbers, default=0))
        )
    return dg.SensorResult(run_requests=requests)


def _is_recorded(
    context: dg.SensorEvaluationContext, store: ObjectStore, package: ModelPackage
) -> bool:
    """Whether ``release_approval`` has recorded this approval."""
    try:
        known = newest_materialization(
            context.instance, store, ReleaseApprovalRecord, partition=package.model_version
        )
    except DamagedObject as damage:  # asked for again, which writes another record
        context.log.warning(str(damage))
        return False
    return known is not None and (known.approved_at, known.decision, known.digest) == (
        str(package.approval_changed_at),
        package.decision,
        package.digest,
    )


def _approval_request(package: ModelPackage) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"approved-{package.model_version}-"
        f"{package.decision or package.approval_changed_at}",
        partition_key=package.model_version,
        asset_selection=[dg.AssetKey("release_approval")],
        run_config=promotion_config(package),
        tags=promotion_tags(package),
    )


def _rollback_request(
    version: str, config: dict[str, Any], *, deployment: DeploymentRecord | None, decision: int
) -> dg.RunRequest:
    replaced = record_key(deployment) if deployment else ""
    return dg.RunRequest(
        run_key=f"rollback-{replaced}-{version}-{decision}",
        partition_key=version,
        asset_selection=[dg.AssetKey("prod_endpoint")],
        run_config=config,
    )


def sensors(
    interval_s: int = INTERVAL_S, hint_file: Path | None = None
) -> list[dg.SensorDefinition]:
    """Return all sensors, including the one that evaluates the automation conditions.

    Args:
        interval_s: seconds between two evaluations of a sensor.
        hint_file: touched when Label Studio reports a change; the sensor of labels then looks at
            once. ``None`` without a Label Studio.
    """
    looking = (
        raw_images_arrival_sensor,
        registry_approval_sensor,
        endpoint_health_sensor,
        labelling_queue_sensor,
    )
    return [
        *(_paced(sensor, interval_s) for sensor in looking),
        _hinted(annotations_change_sensor, interval_s, hint_file),
        _automation_sensor(),
    ]


def _automation_sensor() -> dg.SensorDefinition:
    with warnings.catch_warnings():
        # Users cannot act on the warning; constraints.txt pins Dagster.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            "automation_condition_sensor",
            target=dg.AssetSelection.all(),
            default_status=RUNNING,
            minimum_interval_seconds=INTERVAL_S,
            description="Starts assets when their automation conditions are met.",
            use_user_code_server=True,  # the daemon itself cannot load our conditions
        )


def _hinted(
    sensor: dg.SensorDefinition, interval_s: int, hint_file: Path | None
) -> dg.SensorDefinition:
    """Return ``sensor``, evaluated also after a hint if that is sooner than its interval."""
    if hint_file is None or interval_s <= INTERVAL_S:
        return _paced(sensor, interval_s)
    look = when_hinted(inspect.unwrap(sensor), interval_s, hint_file)
    return _paced(sensor, INTERVAL_S, look)


def _paced(
    sensor: dg.SensorDefinition, interval_s: int, look: Callable[..., Any] | None = None
) -> dg.SensorDefinition:
    """Return ``sensor`` with another interval and, if given, another function."""
    # Dagster takes the interval only when a sensor is created.
    return dg.sensor(
        name=sensor.name,
        job=sensor.job,
        minimum_interval_seconds=interval_s,
        default_status=sensor.default_status,
        description=sensor.description,
    )(look or inspect.unwrap(sensor))
