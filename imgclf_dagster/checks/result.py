"""From a finding to a check result: the verdict goes into the store, the result to Dagster."""

from collections.abc import Mapping

import dagster as dg

from assets.verdicts import Severity, record_verdict
from resources.object_store import ObjectStore


def judge(
    store: ObjectStore,
    *,
    check: str,
    subject: str,
    passed: bool,
    reason: str,
    severity: Severity = "ERROR",
    digest: str = "",
    numbers: Mapping[str, float | str] | None = None,
) -> dg.AssetCheckResult:
    """Record the verdict of ``check`` about ``subject`` and report it.

    A finding that only warns is reported as passed, with its reason: automation conditions know
    no severity, and one broken file among thousands would hold up the line for ever.
    """
    verdict = record_verdict(
        store,
        subject=subject,
        check=check,
        passed=passed,
        severity=severity,
        reason=reason,
        digest=digest,
        numbers=numbers,
    )
    return dg.AssetCheckResult(
        passed=not verdict.blocks,
        severity=dg.AssetCheckSeverity[severity],
        description=reason,
        metadata={"reason": reason, "subject": subject, **(numbers or {})},
    )


def nothing_to_judge(asset: str) -> dg.AssetCheckResult:
    """The failing result of a check whose asset was never materialized."""
    reason = f"{asset} has not been materialized yet"
    return dg.AssetCheckResult(passed=False, description=reason, metadata={"reason": reason})
