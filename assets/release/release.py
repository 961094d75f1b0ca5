"""Release: a candidate is registered, staged, approved by a person and deployed to production.

Partitioned by model version. Each asset verifies its preconditions itself, whoever launches it
and in whatever order.
"""

import re

import dagster as dg
from pydantic import Field

from assets.evaluation.evaluation_report import evaluation_report
from assets.evaluation.records import newest_evaluation
from assets.line import MODEL_VERSIONS, OWNERS
from assets.model.digest import actual_digest
from assets.release.verification import (
    DECISION_TAG,
    approval_objections,
    overtaken_objections,
    package_objections,
)
from assets.retries import retried
from resources.endpoints.endpoint_host import DeploymentFailed, Endpoints, HostUnavailable
from resources.registry.registry import ModelPackage, ModelRegistry, RegistryError
from resources.store.object_store import ObjectStore
from resources.transience import is_transient
from serving.deployments import EndpointStatus, Stage, version_in


class ApprovalConfig(dg.Config):
    """An approval: required, so that nothing is approved by a click alone."""

    # Not bounded here: Dagster reports a violated bound as a stack trace of Pydantic.
    approved_by: str = Field(description="Who approves: a name or an address.")
    reason: str = Field(description="Why this model may go to production.")
    digest: str = Field(
        description="Digest of the very package that is approved: 64 hex digits, in the metadata "
        "of registered_package."
    )


class RolloutConfig(dg.Config):
    """Who rolls out and why; empty: as the approval says."""

    deployed_by: str = Field("", description="Empty: who approved the package.")
    reason: str = Field("", description="Empty: the reason of the approval.")


@dg.asset(
    group_name="release",
    kinds={"mlflow"},
    owners=OWNERS,
    code_version="1",
    partitions_def=MODEL_VERSIONS,
    deps=[evaluation_report],
    description="The model in the registry, with digest, data set version, code version, metrics "
    "and an approval status, which is the source of truth for its release.",
)
@retried
def registered_package(
    context: dg.AssetExecutionContext, store: ObjectStore, registry: ModelRegistry
) -> dg.MaterializeResult:
    """Register the model version of this partition, if it passed its checks."""
    version = context.partition_key
    evaluation = newest_evaluation(store, version)
    if evaluation is None:
        raise dg.Failure(
            f"{version} was never evaluated; materialize evaluation_report first",
            allow_retries=False,
        )
    package = ModelPackage(
        model_version=version,
        digest=actual_digest(store, evaluation["model_key"]),
        model_key=evaluation["model_key"],
        model_uri=store.uri(evaluation["model_key"]),
        dataset_version=evaluation["dataset_version"],
        code_version=evaluation["code_version"],
        task=evaluation["task"],
        labels=tuple(evaluation["labels"]),
        metrics=evaluation["metrics"],
        evaluation_run=evaluation["evaluation_run"],
    )
    _stop_on(version, package_objections(store, package), "registered")
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
            **package.metrics,
        },
    )


@dg.asset(
    group_name="release",
    kinds={"onnx"},
    owners=OWNERS,
    code_version="1",
    partitions_def=MODEL_VERSIONS,
    deps=[registered_package],
    description="The staging endpoint, serving this package.",
)
@retried
def staging_endpoint(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    registry: ModelRegistry,
    endpoints: Endpoints,
) -> dg.MaterializeResult:
    """Deploy the registered package to staging and wait until it answers with its digest."""
    package = _package(registry, context.partition_key)
    _stop_on(package.model_version, package_objections(store, package), "deployed to staging")
    return _rollout(
        context, endpoints, package, "staging", by="imgclf", reason="candidate passed its checks"
    )


@dg.asset(
    group_name="release",
    owners=OWNERS,
    code_version="1",
    partitions_def=MODEL_VERSIONS,
    deps=[staging_endpoint],
    description="A person's approval of this very package. Launch it with approved_by, reason "
    "and digest, or use `imgclf approve`, or approve in the registry: all lead here.",
)
@retried
def release_approval(
    context: dg.AssetExecutionContext,
    config: ApprovalConfig,
    store: ObjectStore,
    registry: ModelRegistry,
) -> dg.MaterializeResult:
    """Record the approval in the registry, unless it was made there or the package was rejected."""
    package = _package(registry, context.partition_key)
    version = package.model_version
    _stop_on(version, _gaps(config), "approved")
    if config.digest != package.digest:
        raise dg.Failure(
            f"{version} has digest {package.digest}, and the approval names {config.digest}: "
            "nothing was approved",
            allow_retries=False,
        )
    _stop_on(version, package_objections(store, package, after_staging=True), "approved")
    if package.approval_status == "Rejected":
        _stop_on(version, approval_objections(package), "approved")
    made_there = DECISION_TAG in context.run.tags
    if package.approval_status != "Approved" or not package.approver or not made_there:
        package = registry.set_approval(
            version, "Approved", by=config.approved_by, reason=config.reason, digest=config.digest
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{package.digest}:{package.decision}"),
        metadata={
            "approved_by": package.approver,
            "reason": package.approval_reason,
            "digest": package.digest,
            "approved_at": str(package.approval_changed_at),
            "decision": package.decision,
        },
    )


@dg.asset(
    group_name="release",
    kinds={"onnx"},
    owners=OWNERS,
    code_version="1",
    partitions_def=MODEL_VERSIONS,
    deps=[release_approval],
    description="The production endpoint, serving this package. Verifies approval, digest and "
    "every blocking check of this very version again before it deploys.",
)
@retried
def prod_endpoint(
    context: dg.AssetExecutionContext,
    config: RolloutConfig,
    store: ObjectStore,
    registry: ModelRegistry,
    endpoints: Endpoints,
) -> dg.MaterializeResult:
    """Deploy the approved package to production and wait until it answers with its digest."""
    package = _package(registry, context.partition_key)
    found = approval_objections(package) + package_objections(store, package, after_staging=True)
    if not config.deployed_by:  # set for a rollback only
        found += overtaken_objections(package, endpoints.readable("prod"), registry.list())
    _stop_on(package.model_version, found, "deployed to production")
    return _rollout(
        context,
        endpoints,
        package,
        "prod",
        by=config.deployed_by or package.approver,
        reason=config.reason or package.approval_reason,
        decision=_decision(package, registry, endpoints),
    )


def _decision(package: ModelPackage, registry: ModelRegistry, endpoints: Endpoints) -> int:
    """Return the number of the decision that a rollout carries out: the newest about the package, or
    about the one that it replaces (a rejection).
    """
    involved = {package.model_version, version_in(endpoints.newest_key("prod") or "")}
    return max(known.decision for known in registry.list() if known.model_version in involved)


def _gaps(config: ApprovalConfig) -> list[str]:
    """List what is missing or malformed in an approval."""
    gaps = [
        f"{name} is empty: {remedy}"
        for name, given, remedy in (
            ("approved_by", config.approved_by, "name who approves"),
            ("reason", config.reason, "say why this model may go to production"),
        )
        if not given.strip()
    ]
    if not re.fullmatch(r"[0-9a-f]{64}", config.digest):
        gaps.append(
            f"digest {config.digest!r} is not one of 64 hex digits: copy it from the metadata of "
            "registered_package"
        )
    return gaps


def _package(registry: ModelRegistry, version: str) -> ModelPackage:
    try:
        return registry.get(version)
    except RegistryError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error


def _stop_on(version: str, objections: list[str], what: str) -> None:
    if objections:
        listed = "\n".join(f"- {objection}" for objection in objections)
        raise dg.Failure(f"{version} is not {what}:\n{listed}", allow_retries=False)


def _rollout(
    context: dg.AssetExecutionContext,
    endpoints: Endpoints,
    package: ModelPackage,
    stage: Stage,
    *,
    by: str,
    reason: str,
    decision: int = 0,
) -> dg.MaterializeResult:
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
