"""How fast people label: seconds per task, and labels per hour of work."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from statistics import median, quantiles
from typing import Any

from pydantic import BaseModel, ConfigDict

SESSION_GAP = timedelta(minutes=30)
"""A pause between two saves that is longer than this ends a session."""

OUTLIER_IQRS = 3.0
"""A time this many interquartile ranges above the upper quartile is an outlier ("far out", Tukey,
Exploratory Data Analysis, 1977): the annotator was called away with the task open."""


class Speed(BaseModel):
    """Labels made in ``hours`` of work, which were ``sessions``; pauses are not counted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: int
    hours: float
    sessions: int

    @property
    def per_hour(self) -> float | None:
        """Labels an hour; ``None`` where no time could be seen."""
        return self.labels / self.hours if self.hours > 0 else None


class Times(BaseModel):
    """Seconds a task, by Label Studio's own clock: of ``tasks`` that have a time and are no
    outliers; ``outliers`` are counted and left out. Quartiles are ``None`` of nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: int
    median_s: float | None
    lower_s: float | None
    upper_s: float | None
    outliers: int


def times(rows: Iterable[Mapping[str, Any]]) -> Times:
    """Quartiles of the seconds per task of ``rows`` (each with ``lead_time_s``); impossible times
    are left out."""
    given = [row["lead_time_s"] for row in rows if row["lead_time_s"]]
    seconds = sorted(s for s in given if 0 < s <= SESSION_GAP.total_seconds())
    if len(seconds) >= 4:
        lower, _, upper = quantiles(seconds, method="inclusive")
        fence = upper + OUTLIER_IQRS * (upper - lower)
        seconds = [s for s in seconds if s <= fence]
    quarters = quantiles(seconds, method="inclusive") if len(seconds) > 1 else seconds * 3
    return Times(
        tasks=len(seconds),
        median_s=quarters[1] if seconds else None,
        lower_s=quarters[0] if seconds else None,
        upper_s=quarters[2] if seconds else None,
        outliers=len(given) - len(seconds),
    )


def speed(saves: Sequence[Mapping[str, Any]], made: set[str]) -> Speed:
    """The labelling speed of one person.

    A session lasts from its first save to its last, plus the time of its first task: its lead time,
    else the person's median pause between two saves. A session of one save without either is not
    counted, nor is its label.

    Args:
        saves: rows of one person, by time.
        made: ``unique_id`` of the person's standing annotations.
    """
    sessions: list[list[Mapping[str, Any]]] = []
    pauses = []
    for row in saves:
        pause = row["annotated_at"] - sessions[-1][-1]["annotated_at"] if sessions else None
        if pause is None or pause > SESSION_GAP:
            sessions.append([row])
        else:
            sessions[-1].append(row)
            pauses.append(pause.total_seconds())
    usual = median(pauses) if pauses else 0.0
    total, counted, seen = 0.0, 0, set()
    for session in sessions:
        first = session[0]["lead_time_s"] or usual
        lasted = (session[-1]["annotated_at"] - session[0]["annotated_at"]).total_seconds()
        lasted += min(first, SESSION_GAP.total_seconds())
        if lasted > 0:
            total += lasted
            counted += 1
            seen |= {row["unique_id"] for row in session}
    return Speed(labels=len(seen & made), hours=total / 3600, sessions=counted)


def together(speeds: Sequence[Speed]) -> Speed:
    """Sum of the labels, hours and sessions: an hour of two people is two hours."""
    return Speed(
        labels=sum(one.labels for one in speeds),
        hours=sum(one.hours for one in speeds),
        sessions=sum(one.sessions for one in speeds),
    )
