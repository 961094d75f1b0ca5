"""The numbers of the annotators' work, from hand-made label tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from labelling.labels.table import LABELS_SCHEMA
from labelling.report.pace import times
from labelling.report.statistics import NO_REASON, Statistics, share, statistics

pytestmark = pytest.mark.unit

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


def row(number: int, at: float, **fields: Any) -> dict[str, Any]:
    """Annotation ``number`` saved ``at`` seconds after nine; a label "cat" of "ann" unless said."""
    moment = NINE + timedelta(seconds=at)
    return {
        "snapshot_key": f"annotations/label_studio/{number}-{at}.json",
        "sha256": f"{number:064x}",
        "labels": ["cat"],
        "status": "ok",
        "reason": "",
        "annotator": "ann",
        "source": "label_studio",
        "annotated_at": moment,
        "annotation_id": str(number),
        "cancelled": False,
        "unique_id": f"u{number}",
        "skipped": False,
        **fields,
    }


def found(*rows: dict[str, Any], **more: Any) -> Statistics:
    return statistics(pa.Table.from_pylist(list(rows), schema=LABELS_SCHEMA), **more)


def guess(*labels: str, version: str = "train-1") -> dict[str, Any]:
    return {"prelabel_version": version, "prelabel": list(labels)}


def test_of_nothing_there_is_nothing() -> None:
    nothing = found()
    assert nothing.annotations == 0
    assert nothing.speed.per_hour is None
    assert nothing.accepted.value is None
    assert nothing.times.median_s is None
    assert nothing.days == []


def test_labels_that_came_with_images_are_no_work() -> None:
    assert found(row(1, 0, source="ingest", unique_id=None)).annotations == 0


def test_labels_an_hour_are_those_of_the_hours_worked() -> None:
    """Two sessions of 11 saves a minute apart, with an afternoon off in between."""
    rows = [row(n, 60 * n, lead_time_s=60.0) for n in range(11)]
    rows += [row(20 + n, 6 * 3600 + 60 * n, lead_time_s=60.0) for n in range(11)]
    speed = found(*rows).speed
    assert (speed.labels, speed.sessions) == (22, 2)
    assert speed.hours == pytest.approx(22 / 60)
    assert speed.per_hour == pytest.approx(60)


def test_two_people_side_by_side_worked_two_hours() -> None:
    rows = [row(n, 30 * n, lead_time_s=30.0) for n in range(120)]
    rows += [row(500 + n, 30 * n, lead_time_s=30.0, annotator="bob") for n in range(120)]
    numbers = found(*rows)
    assert numbers.speed.hours == pytest.approx(2.0)
    assert [one.speed.per_hour for one in numbers.annotators] == [pytest.approx(120)] * 2


def test_the_length_of_a_first_task_is_the_usual_pause_where_nothing_else_tells() -> None:
    assert found(row(1, 0), row(2, 10), row(3, 20)).speed.hours == pytest.approx(30 / 3600)


def test_a_single_save_without_a_time_says_nothing_of_speed() -> None:
    assert found(row(1, 0)).speed.per_hour is None


def test_a_task_left_open_over_night_is_no_work_of_a_night() -> None:
    numbers = found(row(1, 0, lead_time_s=40_000.0))
    assert numbers.speed.hours == pytest.approx(0.5)
    assert numbers.times.tasks == 0
    assert numbers.times.outliers == 1


def test_of_an_annotation_the_newest_snapshot_counts() -> None:
    numbers = found(
        row(1, 0, **guess("cat")), row(1, 60, labels=["dog"], **guess("cat")), row(2, 90)
    )
    assert numbers.annotations == 2
    assert (numbers.accepted.count, numbers.accepted.of) == (0, 1)


def test_what_is_deleted_is_gone_and_a_deletion_is_no_labelling() -> None:
    numbers = found(row(1, 0), row(1, 600, cancelled=True), row(2, 10))
    assert numbers.annotations == 1
    assert numbers.speed.hours == pytest.approx(20 / 3600)


def test_skips_are_counted_apart() -> None:
    numbers = found(row(1, 0), row(2, 5, labels=[], skipped=True), row(3, 9))
    assert (numbers.skipped.count, numbers.skipped.of) == (1, 3)
    assert numbers.annotators[0].skipped == 1
    assert numbers.annotations == 2


def test_when_it_was_first_saved_counts_as_work_too() -> None:
    numbers = found(row(1, 100, created_at=NINE), row(2, 110))
    assert numbers.speed.hours == pytest.approx((110 + 55) / 3600)


def test_acceptance_by_class_version_and_reason() -> None:
    numbers = found(
        row(1, 0, **guess("cat")),
        row(2, 1, labels=["dog"], **guess("cat")),
        row(3, 2, labels=["dog"], **guess("dog", version="train-2")),
        row(4, 3),
        reasons={f"{1:064x}": "exploration", f"{2:064x}": "uncertainty"},
    )
    by_class = {name: (s.count, s.of) for name, s in numbers.accepted_by_class.items()}
    assert by_class == {"cat": (1, 2), "dog": (1, 1)}
    assert [v.model_version for v in numbers.accepted_by_version] == ["train-1", "train-2"]
    by_reason = {name: (s.count, s.of) for name, s in numbers.accepted_by_reason.items()}
    assert by_reason == {"exploration": (1, 1), "uncertainty": (0, 1), NO_REASON: (1, 1)}


def test_of_several_labels_each_is_kept_or_not() -> None:
    numbers = found(row(1, 0, labels=["shirt", "black"], **guess("black", "shoe")))
    assert numbers.accepted.count == 0
    assert numbers.accepted_by_class["black"].count == 1
    assert numbers.accepted_by_class["shoe"].count == 0


def test_the_order_of_a_prelabel_does_not_matter() -> None:
    assert found(row(1, 0, labels=["a", "b"], **guess("b", "a"))).accepted.count == 1


def test_a_prelabel_of_no_label_can_be_kept_or_not() -> None:
    assert found(row(1, 0, **guess())).accepted.of == 1


def test_times_of_kept_and_corrected_prelabels() -> None:
    rows = [row(n, n, lead_time_s=2.0, **guess("cat")) for n in range(4)]
    rows += [row(9 + n, n, lead_time_s=6.0, **guess("dog")) for n in range(4)]
    numbers = found(*rows)
    assert numbers.times_accepted.median_s == 2.0
    assert numbers.times_corrected.median_s == 6.0


def test_days_without_a_label_are_there_too() -> None:
    numbers = found(row(1, 0), row(2, 2 * 86_400))
    assert [(day.date, day.labels) for day in numbers.days] == [
        ("2026-03-02", 1),
        ("2026-03-03", 0),
        ("2026-03-04", 1),
    ]


def test_rows_from_before_the_columns_were_there() -> None:
    old = row(1, 0)
    for name in ("unique_id", "skipped", "lead_time_s"):
        old.pop(name, None)
    assert found(old).annotations == 1


def test_a_report_of_an_older_version_is_read() -> None:
    numbers = found(row(1, 0, **guess("cat")))
    stored = numbers.model_dump(mode="json")
    older = {**stored, "missed_by_class": {"cat": stored["accepted"]}}
    assert Statistics.model_validate(older) == numbers
    with pytest.raises(ValidationError, match="unknown"):
        Statistics.model_validate({**stored, "unknown": 1})


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611)]
)
def test_intervals_are_wilsons(count: int, of: int, low: float, high: float) -> None:
    """The values of statsmodels' proportion_confint(method="wilson")."""
    found = share(count, of)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_its_share(count: int, others: int) -> None:
    one = share(count, count + others)
    assert 0 <= one.low <= one.high <= 1
    if one.value is not None:
        assert one.low - 1e-9 <= one.value <= one.high + 1e-9


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6))))
def test_times_are_in_order_and_none_is_lost(seconds: list[float | None]) -> None:
    took = times([{"lead_time_s": s} for s in seconds])
    assert took.tasks + took.outliers == sum(bool(s) for s in seconds)
    if took.tasks:
        assert took.lower_s <= took.median_s <= took.upper_s


@given(st.permutations(range(12)))
def test_the_order_of_the_rows_does_not_matter(order: list[int]) -> None:
    rows = [row(n // 2, 37 * n, lead_time_s=3.0, **guess("cat")) for n in range(12)]
    assert found(*(rows[n] for n in order)) == found(*rows)
