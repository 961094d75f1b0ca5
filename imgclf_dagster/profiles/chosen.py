"""The adapters of the chosen profile. Each is imported when it is built."""

from typing import TYPE_CHECKING

from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings

if TYPE_CHECKING:
    from assets.line import Line
    from resources.arrivals.arrivals import Arrivals
    from resources.compute.compute import Compute
    from resources.endpoints.endpoint_host import Endpoints
    from resources.registry.registry import ModelRegistry


def build_line(settings: Settings) -> "Line":
    """Return the part of the settings that the assets need."""
    from assets.line import Line

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


def build_registry(settings: Settings) -> "ModelRegistry":
    """Return the model registry of the profile."""
    if settings.profile == "aws":
        from imgclf_dagster.profiles import aws as profile_aws

        return profile_aws.build_registry(settings, open_store(settings))
    from resources.registry.mlflow import MlflowRegistry

    return MlflowRegistry(tracking_uri=settings.mlflow_uri, project=settings.project)


def build_endpoints(settings: Settings) -> "Endpoints":
    """Return the endpoints of the profile."""
    if settings.profile == "aws":
        from imgclf_dagster.profiles import aws as profile_aws

        return profile_aws.build_endpoints(settings, open_store(settings))
    from resources.endpoints.local import LocalEndpoints

    return LocalEndpoints(
        store=open_store(settings),
        project=settings.project,
        address_file=str(settings.run_dir / "endpoint-host.json"),
        default_url=f"http://127.0.0.1:{settings.ports.endpoint}",
        environment=settings.serving.to_environment(),
    )


def build_compute(settings: Settings) -> "Compute":
    """Return the adapter that runs the profile's jobs."""
    store = open_store(settings)
    if settings.profile == "aws":
        from imgclf_dagster.profiles import aws as profile_aws

        return profile_aws.build_compute(settings, store)
    from resources.compute.local.compute import LocalCompute

    return LocalCompute(store=store, jobs_dir=str(settings.jobs_dir))


def build_arrivals(settings: Settings) -> "Arrivals":
    """Return the source of notices about new images in the profile."""
    if settings.profile == "aws":
        from imgclf_dagster.profiles import aws as profile_aws

        return profile_aws.build_arrivals(settings)
    from resources.arrivals.arrivals import NoArrivals

    return NoArrivals()
