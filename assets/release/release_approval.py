"""The asset release_approval: a person's approval of a package, as the registry has it."""

import re

import dagster as dg
from pydantic import Field

from assets.records.materializations import record_materialization
from assets.records.release_approval import ReleaseApprovalRecord
from assets.release.release_asset import find_package, refuse_on, release_asset
from assets.release.staging_endpoint import staging_endpoint
from assets.release.verification import RUN_DECISION_TAG, approval_objections, package_objections
from object_store.store import ObjectStore
from resources.registry.registry import ModelRegistry


class ApprovalConfig(dg.Config):
    """An approval: required, so that nothing is approved by a click alone."""

    # Not bounded here: Dagster reports a violated bound as a stack trace of Pydantic.
    approved_by: str = Field(description="Who approves: a name or an address.")
    reason: str = Field(description="Why this model may go to production.")
    digest: str = Field(
        description="Digest of the package that is approved: 64 hex digits, in the metadata "
        "of registered_package."
    )


@release_asset(
    after=staging_endpoint,
    description="A person's approval of exactly this package. Launch it with approved_by, reason "
    "and digest, or use `imgclf approve`, or approve in the registry; each way materializes "
    "this asset.",
)
def release_approval(
    context: dg.AssetExecutionContext,
    config: ApprovalConfig,
    store: dg.ResourceParam[ObjectStore],
    registry: ModelRegistry,
) -> dg.MaterializeResult:
    """Record the approval in the registry, unless it was made there or the package was rejected.

    Args:
        context: Dagster's context.
        config: who approves, why, and the digest of the package.
        store: the object store.
        registry: the model registry.

    Returns:
        Approver, reason and digest, as metadata.
    """
    package = find_package(registry, context.partition_key)
    version = package.model_version
    refuse_on(version, gaps(config), "approved")
    if config.digest != package.digest:
        raise dg.Failure(
            f"{version} has digest {package.digest}, and the approval names {config.digest}: "
            "nothing was approved",
            allow_retries=False,
        )
    if package.approval_status == "Rejected":
        refuse_on(version, approval_objections(package), "approved")
    approved = package.approval_status == "Approved" and bool(package.approver)
    # What made the decision that the tag names has read the checks; prod_endpoint reads them again.
    if not approved or RUN_DECISION_TAG not in context.run.tags:
        refuse_on(version, package_objections(store, package, after_staging=True), "approved")
        package = registry.set_approval(
            version, "Approved", by=config.approved_by, reason=config.reason, digest=config.digest
        )
    made = ReleaseApprovalRecord(
        digest=package.digest,
        decision=package.decision,
        approved_at=str(package.approval_changed_at),
    )
    record_materialization(context, store, made)
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


def gaps(config: ApprovalConfig) -> list[str]:
    """List what is missing or malformed in an approval."""
    found = [
        f"{name} is empty: {remedy}"
        for name, given, remedy in (
            ("approved_by", config.approved_by, "name who approves"),
            ("reason", config.reason, "give the reason why this model may go to production"),
        )
        if not given.strip()
    ]
    if not re.fullmatch(r"[0-9a-f]{64}", config.digest):
        found.append(
            f"digest {config.digest!r} is not one of 64 hex digits: copy it from the metadata of "
            "registered_package"
        )
    return found
