"""Statistics of the annotators' work, computed from the label table.

Only Label Studio's annotations count as work, not labels that came with ingested images. The newest
snapshot gives an annotation's content; all of its snapshots give the times of work.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, model_validator

from labelling.report.pace import Speed, Times, speed, times, together

NO_REASON = "not from the queue"
"""The reason shown for an image that the queue never chose."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Share(_Frozen):
    """``count`` of ``of``, and the 95 % interval in which the true share lies (Wilson 1927,
    https://doi.org/10.1080/01621459.1927.10502953), which holds for few and for extreme ones."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share itself, 0…1; ``None`` of nothing."""
        return self.count / self.of if self.of else None


class Annotator(_Frozen):
    """One person's work."""

    name: str
    speed: Speed
    times: Times
    accepted: Share
    skipped: int


class VersionAcceptance(_Frozen):
    """How often one model version's pre-labels were left as they were."""

    model_version: str
    accepted: Share
    first_at: datetime


class Day(_Frozen):
    """Labels made on one day (UTC), as an ISO date."""

    date: str
    labels: int


class Statistics(_Frozen):
    """The numbers of all work so far.

    Attributes:
        annotations: that stand: neither deleted nor skipped.
        images: with at least one of them.
        skipped: of all that were skipped or labelled.
        times_accepted, times_corrected: where the pre-label was kept, and where it was not.
        accepted: annotations that left their pre-label exactly as it was.
        accepted_by_class: share of the pre-labels with the class that people kept.
        accepted_by_version: by model version, the oldest first.
        accepted_by_reason: by the queue's reason for the image.
        days: every day from the first to the last with work, labels or not.
    """

    annotations: int
    images: int
    skipped: Share
    speed: Speed
    annotators: list[Annotator]
    times: Times
    times_accepted: Times
    times_corrected: Times
    accepted: Share
    accepted_by_class: dict[str, Share]
    accepted_by_version: list[VersionAcceptance]
    accepted_by_reason: dict[str, Share]
    days: list[Day]
    first_at: datetime | None
    last_at: datetime | None

    @model_validator(mode="before")
    @classmethod
    def _of_older_versions(cls, fields: Any) -> Any:
        """Drop what stored reports of older versions hold and nothing reads."""
        if isinstance(fields, Mapping):
            return {name: value for name, value in fields.items() if name != "missed_by_class"}
        return fields


def share(count: int, of: int) -> Share:
    """``count`` of ``of`` with its 95 % Wilson interval (0…1 if ``of`` is 0)."""
    if not of:
        return Share(count=0, of=0, low=0.0, high=1.0)
    from scipy.stats import binomtest

    interval = binomtest(count, of).proportion_ci(method="wilson")
    return Share(count=count, of=of, low=float(interval.low), high=float(interval.high))


def statistics(labels: pa.Table, reasons: Mapping[str, str] | None = None) -> Statistics:
    """Compute the statistics of ``labels``.

    Args:
        labels: rows in ``LABELS_SCHEMA`` that count under the present schema, including those of
            skipped and deleted annotations; of any source.
        reasons: the reason for which the queue chose an image, by sha256.
    """
    saved = _work(labels)
    newest: dict[str, dict[str, Any]] = {}
    for row in saved:  # in order of time
        newest[row["unique_id"]] = row
    alive = [row for row in newest.values() if not row["cancelled"]]
    skips = [row for row in alive if row["skipped"]]
    done = [row for row in alive if not row["skipped"]]
    guessed = [row for row in done if row["prelabel_version"]]
    kept = [row for row in guessed if _kept(row)]
    corrected = [row for row in guessed if not _kept(row)]
    annotators = _annotators(saved, done, skips)
    return Statistics(
        annotations=len(done),
        images=len({row["sha256"] for row in done}),
        skipped=share(len(skips), len(skips) + len(done)),
        speed=together([person.speed for person in annotators]),
        annotators=annotators,
        times=times(done),
        times_accepted=times(kept),
        times_corrected=times(corrected),
        accepted=share(len(kept), len(guessed)),
        accepted_by_class=_by_class(guessed, "prelabel", "labels"),
        accepted_by_version=_by_version(guessed),
        accepted_by_reason=_by_reason(guessed, reasons or {}),
        days=_days(done),
        first_at=saved[0]["annotated_at"] if saved else None,
        last_at=saved[-1]["annotated_at"] if saved else None,
    )


_COLUMNS = (
    "snapshot_key",
    "sha256",
    "labels",
    "annotator",
    "annotated_at",
    "created_at",
    "cancelled",
    "unique_id",
    "lead_time_s",
    "skipped",
    "prelabel_version",
    "prelabel",
)


def _work(labels: pa.Table) -> list[dict[str, Any]]:
    """The saves in Label Studio, by time; a row without ``unique_id`` counts as an annotation of
    its own."""
    rows = labels.filter(pc.equal(labels["source"], "label_studio")).select(_COLUMNS)
    found: list[dict[str, Any]] = rows.sort_by(
        [("annotated_at", "ascending"), ("snapshot_key", "ascending")]
    ).to_pylist()
    for row in found:
        row["unique_id"] = row["unique_id"] or row["snapshot_key"]
    return found


def _kept(row: Mapping[str, Any]) -> bool:
    return set(row["labels"]) == set(row["prelabel"] or ())


def _annotators(
    saved: Sequence[dict[str, Any]], done: Sequence[dict[str, Any]], skips: Sequence[dict[str, Any]]
) -> list[Annotator]:
    """Each person's work, most labels first."""
    saves: dict[str, list[dict[str, Any]]] = defaultdict(list)
    made: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in saved:
        saves[row["annotator"]] += _saves(row)
    for row in done:
        made[row["annotator"]].append(row)
    skipped = Counter(row["annotator"] for row in skips)
    people = []
    for name, unordered in saves.items():
        rows = sorted(unordered, key=lambda save: save["annotated_at"])
        guessed = [row for row in made[name] if row["prelabel_version"]]
        people.append(
            Annotator(
                name=name,
                speed=speed(rows, {row["unique_id"] for row in made[name]}),
                times=times(made[name]),
                accepted=share(sum(map(_kept, guessed)), len(guessed)),
                skipped=skipped[name],
            )
        )
    return sorted(people, key=lambda person: (-person.speed.labels, person.name))


def _saves(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The saves that a row stands for: two if the annotation was changed before the sensor first
    saw it, none if it was deleted."""
    if row["cancelled"]:
        return []
    first = row["created_at"]
    return [row] if first is None else [{**row, "annotated_at": first}, row]


def _by_class(rows: Sequence[Mapping[str, Any]], predicted: str, other: str) -> dict[str, Share]:
    """For each label in column ``predicted``: the share of its rows that have it in column ``other``,
    too."""
    of: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for row in rows:
        others = set(row[other] or ())
        for label in set(row[predicted] or ()):
            of[label] += 1
            count[label] += label in others
    return {label: share(count[label], of[label]) for label in sorted(of)}


def _by_version(rows: Sequence[Mapping[str, Any]]) -> list[VersionAcceptance]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["prelabel_version"]].append(row)
    versions = [
        VersionAcceptance(
            model_version=version,
            accepted=share(sum(map(_kept, those)), len(those)),
            first_at=min(row["annotated_at"] for row in those),
        )
        for version, those in found.items()
    ]
    return sorted(versions, key=lambda one: (one.first_at, one.model_version))


def _by_reason(rows: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]) -> dict[str, Share]:
    of: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for row in rows:
        reason = reasons.get(row["sha256"], NO_REASON)
        of[reason] += 1
        count[reason] += _kept(row)
    return {reason: share(count[reason], of[reason]) for reason in sorted(of)}


def _days(rows: Sequence[Mapping[str, Any]]) -> list[Day]:
    if not rows:
        return []
    counts = Counter(row["annotated_at"].astimezone(UTC).date() for row in rows)
    first, last = min(counts), max(counts)
    dates = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [Day(date=date.isoformat(), labels=counts[date]) for date in dates]
