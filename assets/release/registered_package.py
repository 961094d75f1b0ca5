"""The asset registered_package: a candidate that passed its checks is in the model registry."""

import dagster as dg

from assets.evaluation.evaluation_report import evaluation_report
from assets.evaluation.records import newest_evaluation
from assets.release.model_card import licence_sentence, model_card, read_licences
from assets.release.release_asset import refuse_on, release_asset
from assets.release.verification import package_objections
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.registry.registry import ModelPackage, ModelRegistry


@release_asset(
    after=evaluation_report,
    kinds={"mlflow"},
    description="The model in the registry, with digest, data set version, code version, metrics "
    "and an approval status, which is the source of truth for its release.",
)
def registered_package(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    compute: Compute,
    registry: ModelRegistry,
) -> dg.MaterializeResult:
    """Register the model version of this partition, if it passed its checks.

    Args:
        context: of the run.
        store: with evaluations and models.
        compute: reads the outputs of jobs.
        registry: to register in.
    """
    version = context.partition_key
    evaluation = newest_evaluation(store, version)
    if evaluation is None:
        raise dg.Failure(
            f"{version} was never evaluated; materialize evaluation_report first",
            allow_retries=False,
        )
    licences = read_licences(compute, version)
    card = model_card(evaluation, licences)
    package = ModelPackage(
        model_version=version,
        # Of the artefact that was evaluated. What deploys it compares the artefact with it.
        digest=evaluation["digest"],
        model_key=evaluation["model_key"],
        model_uri=store.uri(evaluation["model_key"]),
        dataset_version=evaluation["dataset_version"],
        code_version=evaluation["code_version"],
        task=evaluation["task"],
        labels=tuple(evaluation["labels"]),
        metrics=evaluation["metrics"],
        evaluation_run=evaluation["evaluation_run"],
        card=card,
        licences=licence_sentence(licences),
    )
    refuse_on(version, package_objections(store, package), "registered")
    package = registry.register(package)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(package.digest),
        metadata={
            "model_version": version,
            "registry_version": package.registry_version,
            "digest": package.digest,
            "dataset_version": package.dataset_version,
            "approval_status": package.approval_status,
            "model": package.model_key,
            "model card": dg.MetadataValue.md(card),
            **package.metrics,
        },
    )
