"""Verdicts: the result of each check, stored with its subject.

Dagster stores check results too, but its blocking checks guard a *run*, not a version: an
unpartitioned check that fails for one model and passes for the next would let both through.
Releases are therefore decided on these records.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import add_record, newest_key
from object_store.contents.reading import read_record
from object_store.store import ObjectStore

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
"""Checks that warn and do not block."""


def blocking_check_names() -> tuple[str, ...]:
    """Return the names of all blocking checks."""
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
        """Whether this verdict blocks the subject's release."""
        return not self.passed and self.severity == "ERROR"


def verdicts_prefix(subject: str, check: str) -> str:
    """Return the prefix of the verdicts of one check about one subject."""
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
    """Write the verdict of a check; one that repeats the newest verdict writes nothing.

    Args:
        store: object store of the project.
        subject: ``<asset>/<version>``.
        check: name of the check.
        passed: whether the check passed.
        reason: one sentence for people.
        severity: ``ERROR`` blocks the subject, ``WARN`` does not.
        digest: of the model artefact that was checked, 64 hex digits; empty: not about a model.
        numbers: the values behind the verdict, JSON-serializable.

    Returns:
        The new verdict, or the newest one if it is the same.
    """
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
    except DamagedObject:  # the new record comes after it and replaces it
        last = None
    if last is not None and last.model_copy(update={"at": verdict.at}) == verdict:
        return last
    add_record(store, verdicts_prefix(subject, check), verdict.model_dump_json(indent=1).encode())
    return verdict


def newest_verdict(store: ObjectStore, subject: str, check: str) -> Verdict | None:
    """Read the newest verdict of a check about a subject; ``None`` if there is none.

    Args:
        store: object store of the project.
        subject: ``<asset>/<version>``.
        check: name of the check.

    Raises:
        DamagedObject: it cannot be read. An older one is never used in its place.
    """
    newest = newest_key(store, verdicts_prefix(subject, check))
    return read_verdict(store, newest) if newest else None


def read_verdict(store: ObjectStore, key: str) -> Verdict:
    """Read the verdict at ``key``.

    Raises:
        KeyMissing: there is none.
        DamagedObject: it cannot be read, or is the verdict of another check or subject.
    """
    verdict = read_record(store, key, Verdict)
    if not key.startswith(verdicts_prefix(verdict.subject, verdict.check)):
        flaw = f"it holds the verdict of {verdict.check} about {verdict.subject}"
        raise DamagedObject(key, flaw, store.url)
    return verdict


def objections(
    store: ObjectStore, subject: str, checks: tuple[str, ...], digest: str = ""
) -> list[str]:
    """List why a subject is blocked: a sentence for each check that failed, cannot be read, or was
    never made (about this digest).

    Args:
        store: object store of the project.
        subject: ``<asset>/<version>``.
        checks: names of the checks that have to pass.
        digest: of the model artefact; empty: verdicts about any digest count.

    Returns:
        The sentences; empty if all checks passed.
    """
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
    """Return the reasons of the checks whose newest verdict blocks a subject.

    Args:
        store: object store of the project.
        subject: ``<asset>/<version>``.
        checks: names of the checks.

    Returns:
        Name of the check to its reason.

    Raises:
        DamagedObject: a newest verdict cannot be read.
    """
    newest = ((check, newest_verdict(store, subject, check)) for check in checks)
    return {
        check: verdict.reason for check, verdict in newest if verdict is not None and verdict.blocks
    }
