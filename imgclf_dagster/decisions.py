"""A person's decisions about a package: approve, reject, roll back.

They are recorded in the registry, which is the source of truth; the assets carry them out.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from assets.release.verdicts import MODEL_CHECKS, STAGING_CHECKS, failed_checks
from assets.release.verification import RUN_DECISION_TAG, is_overtaken
from errors.base import ImgclfError
from object_store.contents.numbered import number_of
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ApprovalStatus, ModelPackage, ModelRegistry
from serving.deployments import DeploymentRecord, version_in


class DecisionError(ImgclfError, RuntimeError):
    """The decision cannot be carried out; the message says why and what can be done."""


def choose_package(
    registry: ModelRegistry, endpoints: Endpoints, model_version: str | None
) -> ModelPackage:
    """Return the package that a decision is about.

    Args:
        registry: the model registry.
        endpoints: the endpoints of the profile.
        model_version: a version or a unique beginning of one, with or without ``train-``; ``None``
            for the version on staging.

    Raises:
        DecisionError: there is no such package, or several match.
    """
    packages = registry.list()
    if not packages:
        _refuse_if_blocked(endpoints.objects, [model_version, f"train-{model_version}"])
        raise DecisionError(
            "nothing is registered yet; `imgclf run` registers a candidate that passes its checks, "
            "and `imgclf status` shows the state of the line"
        )
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
    if not found:
        _refuse_if_blocked(endpoints.objects, names)
    if len(found) != 1:
        known = ", ".join(package.model_version for package in packages[:5])
        raise DecisionError(
            f"{len(found) or 'no'} packages begin with {model_version!r}; the newest are {known}"
        )
    return found[0]


def former_decision(package: ModelPackage, status: ApprovalStatus, *, named: bool) -> str:
    """Return who decided the opposite about a package before, when and why; "" if nobody did.

    Args:
        package: as the registry has it.
        status: the decision that a person is about to make.
        named: whether they named its version.

    Raises:
        DecisionError: somebody did, and the version was not named.
    """
    if package.approval_status in (status, "PendingManualApproval"):
        return ""
    text = f"it was {decided_words(package)}"
    if not named:
        verb = "approve" if status == "Approved" else "reject"
        raise DecisionError(
            f"{package.model_version} is on staging, but {text}",
            f'to decide otherwise, name it: imgclf {verb} {package.model_version} --reason "…"',
        )
    return text


def decided_words(package: ModelPackage) -> str:
    """Return a decision in words: ``rejected by ann on 2026-01-05 08:00 UTC: too dark``."""
    moment = package.approval_changed_at
    when = f" on {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else ""
    reason = f": {package.approval_reason}" if package.approval_reason else ""
    return f"{package.approval_status.lower()} by {package.approver or 'nobody'}{when}{reason}"


def _refuse_if_blocked(store: ObjectStore, names: Sequence[str | None]) -> None:
    """Say why a model whose version begins with one of ``names`` is not registered.

    Raises:
        DecisionError: there is such a model; the message has the reason.
    """
    versions = {
        info.key.split("/")[2]
        for name in names
        if name
        for info in store.named("checks/trained_model", name)
    }
    if not versions:
        return
    lines = []
    for version in sorted(versions):
        subject = f"trained_model/{version}"
        failed = failed_checks(store, subject, (*MODEL_CHECKS, *STAGING_CHECKS))
        if failed:
            lines.append(f"{version} did not pass its checks, so it was never registered:")
            lines += [f"- {check} failed: {reason}" for check, reason in failed.items()]
        else:
            lines.append(f"{version} is not registered yet: `imgclf run` goes on with it")
    raise DecisionError("\n".join(lines))


def previous_deployment(endpoints: Endpoints, registry: ModelRegistry) -> DeploymentRecord | None:
    """Return the newest production deployment of another, still approved model, or ``None``."""
    live = live_deployment(endpoints, registry)
    if live is None:
        return None
    approved = {
        package.digest for package in registry.list() if package.approval_status == "Approved"
    }
    return next(
        (
            record
            for record in endpoints.history("prod")
            if record.digest != live.digest and record.digest in approved
        ),
        None,
    )


def live_deployment(endpoints: Endpoints, registry: ModelRegistry) -> DeploymentRecord | None:
    """Return the newest deployment to production, or ``None``.

    If its record is damaged, a record is made from the model version in its key and the registry,
    so that the deployed model can be rejected and replaced.
    """
    key, record = endpoints.newest_key("prod"), endpoints.readable("prod")
    if record is not None or key is None:
        return record
    version = version_in(key)
    package = next((p for p in registry.list() if p.model_version == version), None)
    if package is None:
        return None
    return DeploymentRecord.at(
        number_of(key) or 0,
        stage="prod",
        model_version=version,
        digest=package.digest,
        model_key=package.model_key,
        deployed_by="unknown",
        reason=f"{key} cannot be read",
    )


def undeployed_approvals(endpoints: Endpoints, registry: ModelRegistry) -> list[ModelPackage]:
    """Return the approved packages that production does not follow yet, latest decision first.

    Approvals older than the decision that production follows are left out.
    """
    serving = live_deployment(endpoints, registry)
    packages = registry.list()
    waiting = [
        package
        for package in packages
        if package.approval_status == "Approved"
        and (
            serving is None
            or not (package.digest == serving.digest or is_overtaken(package, serving, packages))
        )
    ]
    return sorted(waiting, key=lambda package: package.decision_order, reverse=True)


def promotion_config(package: ModelPackage) -> dict[str, Any]:
    """Return the run config of ``release_approval``: the approval as the registry holds it.

    The asset refuses an approval without an approver.
    """
    approval = {
        "approved_by": package.approver,
        "reason": package.approval_reason or "approved in the registry",
        "digest": package.digest,
    }
    return {"ops": {"release_approval": {"config": approval}}}


def promotion_tags(package: ModelPackage) -> dict[str, str]:
    """Return the tags for a run with ``promotion_config``: the number of the recorded decision."""
    return {RUN_DECISION_TAG: str(package.decision)} if package.decision else {}


def undone_rejection(
    endpoints: Endpoints, registry: ModelRegistry
) -> tuple[str, dict[str, Any]] | None:
    """Return the version to return to and its run config, if production serves a rejected package."""
    serving = live_deployment(endpoints, registry)
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
