"""Results of checks: the verdict is recorded in the store, the result is reported to Dagster."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec

import dagster as dg

from assets.markdown import prose
from assets.release.verdicts import Severity, record_verdict
from labelling.labels.foreign_text import visible
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from object_store.store import ObjectStore

Params = ParamSpec("Params")

WARNING = "warning"
"""Metadata key of a result that counts as passed but has a warning."""


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
    """Record the verdict of a check and return its result.

    Args:
        store: keeps the verdict.
        check: name of the check.
        subject: what was checked, as ``<asset>/<version>``.
        passed: whether nothing was found.
        reason: why, as a sentence.
        severity: ``ERROR`` blocks if not passed, ``WARN`` warns.
        digest: digest of the model, if one was checked.
        numbers: measured values by name.

    Returns:
        The result; one that only warns is reported as passed, with the metadata ``warning``.
    """
    # Automation conditions know no severity: a failed result would block the line even for one
    # unreadable file among thousands.
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
    warning: Mapping[str, str] = {} if passed or verdict.blocks else {WARNING: "yes"}
    return check_result(
        passed=not verdict.blocks,
        severity=dg.AssetCheckSeverity[severity],
        reason=reason,
        more={"subject": subject, **warning, **(numbers or {})},
    )


def check_result(
    *,
    passed: bool,
    reason: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    more: Mapping[str, float | str] | None = None,
) -> dg.AssetCheckResult:
    """Return the result of a check.

    Args:
        passed: whether the check passed.
        reason: why, as a sentence; may contain labels and file names.
        severity: severity of a failure.
        more: further metadata.

    Returns:
        The result, with the reason as text (metadata ``reason``) and as Markdown (description).
    """
    return dg.AssetCheckResult(
        passed=passed,
        severity=severity,
        description=prose(reason),  # Dagster renders it as Markdown
        metadata={"reason": visible(reason), **(more or {})},
    )


def fails_closed(
    check: Callable[Params, dg.AssetCheckResult],
) -> Callable[Params, dg.AssetCheckResult]:
    """Decorate a check's function to fail if an object that it reads is damaged or missing.

    The result of a damaged object has its key and remedy. Place it below ``@dg.asset_check``.
    """

    @wraps(check)
    def checked(*args: Params.args, **kwargs: Params.kwargs) -> dg.AssetCheckResult:
        try:
            return check(*args, **kwargs)
        except DamagedObject as damage:
            facts = {"key": damage.key, "remedy": damage.remedy}
            return check_result(passed=False, reason=str(damage), more=facts)
        except KeyMissing as error:
            return check_result(passed=False, reason=str(error))

    return checked


def nothing_to_judge(asset: str) -> dg.AssetCheckResult:
    """Return the failed result for an asset that was never materialized."""
    return check_result(passed=False, reason=f"{asset} has not been materialized yet")
