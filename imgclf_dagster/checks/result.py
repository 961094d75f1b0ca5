"""From a finding to a check result: the verdict goes into the store, the result to Dagster."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec

import dagster as dg

from assets.markdown import prose
from assets.release.verdicts import Severity, record_verdict
from labelling.labels.foreign_text import visible
from resources.contents.damage import DamagedObject
from resources.store.errors import KeyMissing
from resources.store.object_store import ObjectStore

Params = ParamSpec("Params")

WARNING = "warning"
"""Metadata of a result that counts as passed and yet found something."""


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
    """Make the result of a check.

    Args:
        passed: whether it lets through what it looked at.
        reason: why, in words; may hold labels and file names.
        severity: whether a failure blocks.
        more: metadata beside the reason.

    Returns:
        The result, with the reason as text (metadata ``reason``) and as Dagster's page shows it.
    """
    return dg.AssetCheckResult(
        passed=passed,
        severity=severity,
        description=prose(reason),  # which Dagster's page takes for Markdown
        metadata={"reason": visible(reason), **(more or {})},
    )


def fails_closed(
    check: Callable[Params, dg.AssetCheckResult],
) -> Callable[Params, dg.AssetCheckResult]:
    """A check's function that fails with key and remedy where what it needs to read is damaged; goes
    below ``@dg.asset_check``."""

    @wraps(check)
    def checked(*args: Params.args, **kwargs: Params.kwargs) -> dg.AssetCheckResult:
        try:
            return check(*args, **kwargs)
        except DamagedObject as damage:
            told = {"key": damage.key, "remedy": damage.remedy}
            return check_result(passed=False, reason=str(damage), more=told)
        except KeyMissing as error:
            return check_result(passed=False, reason=str(error))

    return checked


def nothing_to_judge(asset: str) -> dg.AssetCheckResult:
    """The failing result of a check whose asset was never materialized."""
    return check_result(passed=False, reason=f"{asset} has not been materialized yet")
