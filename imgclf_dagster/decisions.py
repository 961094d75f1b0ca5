"""A person's decisions about a package: approve, reject, roll back. They begin in the registry,
which is the source of truth, and reach the graph by its assets, whoever decided and wherever."""

from datetime import UTC, datetime
from typing import Any

from resources.endpoint_host import EndpointHost
from resources.model_registry import ModelPackage, ModelRegistry
from serving.deployments import DeploymentRecord


class DecisionError(RuntimeError):
    """The decision cannot be carried out; the message says why and what can be done."""


def choose_package(
    registry: ModelRegistry, endpoints: EndpointHost, model_version: str | None
) -> ModelPackage:
    """The package a decision is about: the one named, else the one on staging.

    A unique beginning of the model version is enough.

    Raises:
        DecisionError: there is none, or several begin so.
    """
    packages = registry.list()
    if not packages:
        raise DecisionError("nothing is registered yet; `imgclf run` registers a candidate")
    if model_version is None:
        staged = endpoints.current("staging")
        if staged is None:
            raise DecisionError("nothing is staged; name a model version (see `imgclf status`)")
        model_version = staged.model_version
    names = [model_version, f"train-{model_version}"]
    exact = [package for package in packages if package.model_version in names]
    found = exact or [
        package for package in packages if package.model_version.startswith(tuple(names))
    ]
    if len(found) != 1:
        known = ", ".join(package.model_version for package in packages[:5])
        raise DecisionError(
            f"{len(found)} packages begin with {model_version!r}; the newest are {known}"
        )
    return found[0]


def previous_deployment(
    endpoints: EndpointHost, registry: ModelRegistry
) -> DeploymentRecord | None:
    """The newest production deployment of another model that is still approved, or ``None``."""
    history = endpoints.history("prod")
    if not history:
        return None
    approved = {
        package.digest for package in registry.list() if package.approval_status == "Approved"
    }
    current = history[0].digest
    return next(
        (record for record in history if record.digest != current and record.digest in approved),
        None,
    )


def undeployed_approvals(endpoints: EndpointHost, registry: ModelRegistry) -> list[ModelPackage]:
    """The approved packages that production has not followed yet, the latest decision first.

    An approval from before the present deployment was overtaken by it: rolling it out would put
    an older decision in the place of a newer one.
    """
    serving = endpoints.current("prod")
    waiting = [
        package
        for package in registry.list()
        if package.approval_status == "Approved"
        and (
            serving is None
            or (serving.digest != package.digest and decided_at(package) > serving.created_at)
        )
    ]
    return sorted(waiting, key=decided_at, reverse=True)


def decided_at(package: ModelPackage) -> datetime:
    """When the registry's status was decided; a status that was set by hand in MLflow carries no
    time, and counts from the registration."""
    moment = package.approval_changed_at or package.created_at
    return moment or datetime.min.replace(tzinfo=UTC)


def promotion_config(package: ModelPackage) -> dict[str, Any]:
    """Run config of ``release_approval``: the approval as the registry holds it.

    Without an approver it is refused there: nobody's approval is none.
    """
    approval = {
        "approved_by": package.approver,
        "reason": package.approval_reason or "approved in the registry",
        "digest": package.digest,
    }
    return {"ops": {"release_approval": {"config": approval}}}


def undone_rejection(
    endpoints: EndpointHost, registry: ModelRegistry
) -> tuple[str, dict[str, Any]] | None:
    """If production serves a rejected package: the version to return to, and its run config."""
    serving = endpoints.current("prod")
    if serving is None:
        return None
    rejected = next(
        (
            package
            for package in registry.list()
            if package.digest == serving.digest and package.approval_status == "Rejected"
        ),
        None,
    )
    target = previous_deployment(endpoints, registry) if rejected else None
    if rejected is None or target is None:
        return None
    reason = f"{rejected.model_version} was rejected: {rejected.approval_reason}"
    config = {"deployed_by": rejected.approver, "reason": reason}
    return target.model_version, {"ops": {"prod_endpoint": {"config": config}}}
