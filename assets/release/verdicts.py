"""Verdicts: the result of each check, kept in the store beside what it was about.

Dagster keeps check results too, but its blocking checks guard a *run*, not a version: an
unpartitioned check that fails for one model and passes for the next would let both through.
What may go to production is therefore decided on these records, which name their subject.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from resources.contents.damage import DamagedObject
from resources.contents.numbered import add_record, newest_key
from resources.contents.reading import read_record
from resources.store.object_store import ObjectStore

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
ADVISORY_CHECKS = ("near_duplicate_groups",)
"""They warn and block nothing."""


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
    try:
        last = newest_verdict(store, subject, check)
    except DamagedObject:  # this one comes after it, and counts
        last = None
    if last is not None and last.model_copy(update={"at": verdict.at}) == verdict:
        return last
    add_record(store, verdicts_prefix(subject, check), verdict.model_dump_json(indent=1).encode())
    return verdict


def newest_verdict(store: ObjectStore, subject: str, check: str) -> Verdict | None:
    """The newest verdict of ``check`` about ``subject``, or ``None``.

    Raises:
        DamagedObject: it cannot be read. An older one never counts in its place.
    """
    newest = newest_key(store, verdicts_prefix(subject, check))
    return read_verdict(store, newest) if newest else None


def read_verdict(store: ObjectStore, key: str) -> Verdict:
    """The verdict at ``key``. Raises KeyMissing, DamagedObject (also if it is another's)."""
    verdict = read_record(store, key, Verdict)
    if not key.startswith(verdicts_prefix(verdict.subject, verdict.check)):
        flaw = f"it holds the verdict of {verdict.check} about {verdict.subject}"
        raise DamagedObject(key, flaw, store.url)
    return verdict


def objections(
    store: ObjectStore, subject: str, checks: tuple[str, ...], digest: str = ""
) -> list[str]:
    """Why ``subject`` may not go on: every check that failed, or was never made about ``digest``."""
    found = []
    for check in checks:
        try:
            verdict = newest_verdict(store, subject, check)
        except DamagedObject as damage:
            found.append(f"{check} cannot be known: {damage}")
            continue
        if verdict is None:
            found.append(f"{check} was never evaluated for {subject}")
        elif digest and verdict.digest != digest:
            found.append(
                f"{check} was evaluated for digest {verdict.digest[:12]}, not {digest[:12]}"
            )
        elif verdict.blocks:
            found.append(f"{check} failed: {verdict.reason}")
    return found


def failed_checks(store: ObjectStore, subject: str, checks: tuple[str, ...]) -> dict[str, str]:
    """The reasons of those checks whose newest verdict keeps ``subject`` out, by the check's name."""
    newest = ((check, newest_verdict(store, subject, check)) for check in checks)
    return {
        check: verdict.reason for check, verdict in newest if verdict is not None and verdict.blocks
    }
