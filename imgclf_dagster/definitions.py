"""The code location: assets, checks, jobs, sensors and resources, composed from the settings."""

import dagster as dg

from assets.dataset import dataset
from assets.embeddings import build_embeddings
from assets.evaluation import evaluation_report
from assets.ingestion import raw_images
from assets.labelling import annotations
from assets.labelling_queue import labelling_queue
from assets.labelling_report import labelling_report
from assets.line import Line
from assets.release import prod_endpoint, registered_package, release_approval, staging_endpoint
from assets.training import build_trained_model
from imgclf_dagster.automation import automated
from imgclf_dagster.checks import dataset as dataset_checks
from imgclf_dagster.checks import model as model_checks
from imgclf_dagster.checks import splits as split_checks
from imgclf_dagster.checks import staging as staging_checks
from imgclf_dagster.home import open_store
from imgclf_dagster.jobs import jobs
from imgclf_dagster.label_studio_access import find_access, hint_file, project_title
from imgclf_dagster.sensors import sensors
from imgclf_dagster.settings import Settings, load_settings
from resources.arrivals import Arrivals, NoArrivals
from resources.compute import Compute, LocalCompute
from resources.endpoint_host import EndpointHost
from resources.label_studio import LabelStudio
from resources.local_endpoints import LocalEndpointHost
from resources.mlflow_registry import MlflowRegistry
from resources.model_registry import ModelRegistry

_SAGEMAKER_GROUPS = {"training", "evaluation", "release"}


@dg.definitions
def defs() -> dg.Definitions:
    """The code location under the user's settings."""
    return build_definitions(load_settings())


def build_line(settings: Settings) -> Line:
    """What the assets need to know of the settings."""
    return Line(
        project=settings.project,
        labels=settings.labels,
        ingestion=settings.ingestion,
        split=settings.split,
        gates=settings.gates,
        labelling=settings.labelling,
        retraining=settings.retraining,
        weights_dir=settings.weights_dir,
    )


def build_registry(settings: Settings) -> ModelRegistry:
    """The model registry of the profile."""
    if settings.profile == "aws":
        from imgclf_dagster import profile_aws

        return profile_aws.build_registry(settings, open_store(settings))
    return MlflowRegistry(tracking_uri=settings.mlflow_uri, project=settings.project)


def build_endpoints(settings: Settings) -> EndpointHost:
    """The endpoint host of the profile."""
    if settings.profile == "aws":
        from imgclf_dagster import profile_aws

        return profile_aws.build_endpoints(settings, open_store(settings))
    return LocalEndpointHost(
        store=open_store(settings),
        project=settings.project,
        address_file=str(settings.run_dir / "endpoint-host.json"),
        default_url=f"http://127.0.0.1:{settings.ports.endpoint}",
        environment=settings.serving.to_environment(),
    )


def build_compute(settings: Settings) -> Compute:
    """What runs the jobs of the profile."""
    store = open_store(settings)
    if settings.profile == "aws":
        from imgclf_dagster import profile_aws

        return profile_aws.build_compute(settings, store)
    return LocalCompute(store=store, jobs_dir=str(settings.home / "jobs"))


def build_arrivals(settings: Settings) -> Arrivals:
    """Who tells of new images in the profile."""
    if settings.profile == "aws":
        from imgclf_dagster import profile_aws

        return profile_aws.build_arrivals(settings)
    return NoArrivals()


def build_label_studio(settings: Settings) -> LabelStudio:
    """The port to Label Studio; not ``configured`` if there is none.

    Raises:
        SettingsError: see :func:`find_access`.
    """
    access = find_access(settings)
    return LabelStudio(
        url=access.url if access else "",
        token=access.token if access else "",
        project_title=project_title(settings),
        project_id=settings.label_studio.project_id,
    )


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything Dagster loads, for ``settings``."""
    store = open_store(settings)
    assets = [
        raw_images,
        annotations,
        dataset,
        build_trained_model(settings.training),
        build_embeddings(settings.training),
        labelling_queue,
        labelling_report,
        evaluation_report,
        registered_package,
        staging_endpoint,
        release_approval,
        prod_endpoint,
    ]
    label_studio = build_label_studio(settings)
    described = dg.map_asset_specs(
        lambda spec: _on_profile(automated(spec, labelling=label_studio.configured), settings),
        assets,
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
            "store": store,
            "arrivals": build_arrivals(settings),
            "compute": build_compute(settings),
            "registry": build_registry(settings),
            "endpoints": build_endpoints(settings),
            "label_studio": label_studio,
            "line": build_line(settings),
        },
    )


def _on_profile(spec: dg.AssetSpec, settings: Settings) -> dg.AssetSpec:
    """Kinds say what an asset is made with: on AWS the jobs, registry and endpoints are
    SageMaker's."""
    if settings.profile == "local" or spec.group_name not in _SAGEMAKER_GROUPS:
        return spec
    return spec.replace_attributes(kinds={*spec.kinds - {"mlflow"}, "sagemaker"})
