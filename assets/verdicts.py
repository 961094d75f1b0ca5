"""Verdicts: the result of each check, kept in the store beside what it was about.

Dagster keeps check results too, but its blocking checks guard a *run*, not a version: an
unpartitioned check that fails for one model and passes for the next would let both through.
What may go to production is therefore decided on these records, which name their subject.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from resources.object_store import ObjectStore

Severity = Literal["ERROR", "WARN"]

SOURCE_CHECKS = {"raw_images": ("images_readable",), "annotations": ("labels_known",)}
DATASET_CHECKS = ("no_label_conflicts", "no_split_leakage", "class_floor_met")
MODEL_CHECKS = (
    "export_matches_training",
    "beats_champion",
    "no_slice_regression",
    "calibration_within_bound",
)
STAGING_CHECKS = ("staging_serves_digest", "staging_latency_within_budget")


def every_check() -> tuple[str, ...]:
    """The names of all blocking checks."""
    of_sources = [name for names in SOURCE_CHECKS.values() for name in names]
    return (*of_sources, *DATASET_CHECKS, *MODEL_CHECKS, *STAGING_CHECKS)


class Verdict(BaseModel):
    """What one check found about one subject, ``<asset>/<version>``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str
    subject: str
    passed: bool
    severity: Severity
    reason: str
    digest: str = ""
    at: datetime
    numbers: Mapping[str, Any] = {}

    @property
    def blocks(self) -> bool:
        """Whether this verdict keeps the subject out of production."""
        return not self.passed and self.severity == "ERROR"


def verdicts_prefix(subject: str, check: str) -> str:
    """Where the verdicts of one check about one subject lie."""
    return f"checks/{subject}/{check}/"


def record_verdict(
    store: ObjectStore,
    *,
    subject: str,
    check: str,
    passed: bool,
    reason: str,
    severity: Severity = "ERROR",
    digest: str = "",
    numbers: Mapping[str, Any] | None = None,
) -> Verdict:
    """Keep a verdict; one that repeats the newest one writes nothing."""
    verdict = Verdict(
        check=check,
        subject=subject,
        passed=passed,
        severity=severity,
        reason=reason,
        digest=digest,
        at=datetime.now(UTC),
        numbers=numbers or {},
    )
    last = newest_verdict(store, subject, check)
    if last is not None and last.model_copy(update={"at": verdict.at}) == verdict:
        return last
    stamp = int(verdict.at.timestamp() * 1000)
    while not store.create(
        f"{verdicts_prefix(subject, check)}{stamp:013d}.json",
        verdict.model_dump_json(indent=1).encode(),
    ):
        stamp += 1
    return verdict


def newest_verdict(store: ObjectStore, subject: str, check: str) -> Verdict | None:
    """The newest verdict of ``check`` about ``subject``, or ``None``."""
    newest = store.newest(verdicts_prefix(subject, check))
    return Verdict.model_validate(json.loads(store.get(newest.key))) if newest else None


def objections(
    store: ObjectStore, subject: str, checks: tuple[str, ...], digest: str = ""
) -> list[str]:
    """Why ``subject`` may not go on: every check that failed, or was never made about ``digest``."""
    found = []
    for check in checks:
        verdict = newest_verdict(store, subject, check)
        if verdict is None:
            found.append(f"{check} was never evaluated for {subject}")
        elif digest and verdict.digest != digest:
            found.append(
                f"{check} was evaluated for digest {verdict.digest[:12]}, not {digest[:12]}"
            )
        elif verdict.blocks:
            found.append(f"{check} failed: {verdict.reason}")
    return found
