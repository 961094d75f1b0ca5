"""The code location: assets, checks, jobs, sensors and resources, built from the settings."""

import dagster as dg

from assets.annotations.annotations import annotations
from assets.challenger.challenger_model import build_challenger_model
from assets.dataset.dataset import dataset
from assets.evaluation.evaluation_report import evaluation_report
from assets.ingestion.raw_images import raw_images
from assets.model.embeddings import build_embeddings
from assets.model.hyperparameters import build_hyperparameters
from assets.model.trained_model import build_trained_model
from assets.queue.labelling_queue import labelling_queue
from assets.release.prod_endpoint import prod_endpoint
from assets.release.registered_package import registered_package
from assets.release.release_approval import release_approval
from assets.release.staging_endpoint import staging_endpoint
from assets.report.labelling_report import labelling_report
from imgclf_dagster.automation.conditions import automated, automation
from imgclf_dagster.checks import dataset as dataset_checks
from imgclf_dagster.checks import model as model_checks
from imgclf_dagster.checks import splits as split_checks
from imgclf_dagster.checks import staging as staging_checks
from imgclf_dagster.home.engines import keep_engines
from imgclf_dagster.home.migrations import read_migrations_once
from imgclf_dagster.label_studio.access import hint_file
from imgclf_dagster.label_studio.client import build_label_studio
from imgclf_dagster.profiles.chosen import (
    build_arrivals,
    build_compute,
    build_endpoints,
    build_line,
    build_registry,
)
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.runs.jobs import jobs
from imgclf_dagster.sensors.arrival import sensors
from imgclf_dagster.settings.root import Settings, load_settings
from resources.store import StoreResource

_SAGEMAKER_GROUPS = {"training", "evaluation", "release"}

keep_engines()
read_migrations_once()


@dg.definitions
def defs() -> dg.Definitions:
    """The code location under the user's settings."""
    return build_definitions(load_settings())


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return everything that Dagster loads, for ``settings``."""
    store = open_store(settings)
    assets = [
        raw_images,
        annotations,
        dataset,
        build_hyperparameters(settings.tuning, settings.training),
        build_trained_model(settings.training),
        build_challenger_model(settings.training),
        build_embeddings(settings.training.first_job()),
        labelling_queue,
        labelling_report,
        evaluation_report,
        registered_package,
        staging_endpoint,
        release_approval,
        prod_endpoint,
    ]
    label_studio = build_label_studio(settings)
    known = automation(
        store,
        labelling=label_studio.configured,
        challenging=settings.training.has_challenger,
    )
    described = dg.map_asset_specs(
        lambda spec: _on_profile(automated(spec, known), settings), assets
    )
    return dg.Definitions(
        assets=described,
        asset_checks=[
            dataset_checks.images_readable,
            dataset_checks.labels_known,
            dataset_checks.no_label_conflicts,
            dataset_checks.no_split_leakage,
            dataset_checks.class_floor_met,
            split_checks.near_duplicate_groups,
            model_checks.export_matches_training,
            *model_checks.gate_checks(),
            staging_checks.staging_serves_digest,
            staging_checks.staging_latency_within_budget,
        ],
        jobs=jobs(),
        sensors=sensors(
            settings.sensor_interval_s,
            hint_file(settings) if label_studio.configured else None,
        ),
        executor=dg.in_process_executor,
        resources={
            "store": StoreResource.of(store),
            "arrivals": build_arrivals(settings),
            "compute": build_compute(settings),
            "registry": build_registry(settings),
            "endpoints": build_endpoints(settings),
            "label_studio": label_studio,
            "line": build_line(settings),
        },
    )


def _on_profile(spec: dg.AssetSpec, settings: Settings) -> dg.AssetSpec:
    """Replace the kind ``mlflow`` by ``sagemaker`` where SageMaker does the work (profile ``aws``)."""
    if settings.profile == "local" or spec.group_name not in _SAGEMAKER_GROUPS:
        return spec
    return spec.replace_attributes(kinds={*spec.kinds - {"mlflow"}, "sagemaker"})
