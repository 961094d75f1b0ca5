"""The page of the labelling report: whole in every state, without a script or a foreign address."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from labelling.labels.agreement import agreement
from labelling.labels.table import LABELS_SCHEMA
from labelling.report.charts import _ticks, curve_chart
from labelling.report.curve_law import Estimate, Points
from labelling.report.curve_report import Backtest, ClassCurve, CurveReport, Forecast, Saved
from labelling.report.page import page
from labelling.report.report import AgreementSummary, LabellingReport, advice, gain_text
from labelling.report.statistics import statistics

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVIL = '<script>alert("x")</script>&'
VOID = {"meta", "i", "circle", "line", "polygon", "polyline"}


class Reader(HTMLParser):
    """What a page consists of; an element that is closed wrongly fails."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] != ["style"] else ""


def read(report: LabellingReport) -> Reader:
    reader = Reader()
    reader.feed(page(report))
    reader.close()
    assert reader.open == []
    assert reader.tags.isdisjoint({"script", "link", "iframe", "img", "object"})
    return reader


def table(**fields: Any) -> pa.Table:
    """Forty annotations by two people, of twenty images."""
    rows = [
        {
            "snapshot_key": str(n),
            "sha256": f"{n // 2:064x}",
            "labels": ["cat"] if n % 3 else [EVIL],
            "status": "ok",
            "annotator": f"label_studio:{EVIL if n % 2 else 'ann'}",
            "source": "label_studio",
            "annotated_at": NOON + timedelta(seconds=5 * n),
            "cancelled": False,
            "unique_id": str(n),
            "lead_time_s": 4.0,
            "prelabel_version": EVIL,
            "prelabel": ["cat"],
            **fields,
        }
        for n in range(40)
    ]
    return pa.Table.from_pylist(rows, schema=LABELS_SCHEMA)


def curve(**fields: Any) -> CurveReport:
    points = Points(sizes=[10, 20, 40, 80], scores=[[0.5, 0.6], [0.6, 0.7], [0.7, 0.75], [0.8]])
    gain = Estimate(value=0.014, low=0.008, high=0.020)
    return CurveReport(
        **{
            "dataset_version": "d1",
            "model_version": "train-1",
            "task": "single_label",
            "score_name": "accuracy",
            "labels": 80,
            "measured": 80,
            "held": 40,
            "score": 0.8,
            "points": points,
            "more": 20,
            "gain": gain,
            "why_not": "",
            "forecast": [
                Forecast(labels=n, score=Estimate(value=0.5 + n / 400, low=0.4, high=0.9))
                for n in (10, 40, 80, 160)
            ],
            "backtest": Backtest(
                labels=40, foretold=Estimate(value=0.79, low=0.77, high=0.81), score=0.8
            ),
            "classes": [
                ClassCurve(
                    label=EVIL, labels=40, f1=0.7, more=20, gain=gain, why_not="", points=points
                ),
                ClassCurve(
                    label="dog", labels=3, f1=0.1, more=3, gain=None, why_not=EVIL, points=None
                ),
            ],
            "not_shown": ["cow"],
            "saved": Saved(
                chosen=30,
                random=50,
                points=None,
                needed=Estimate(value=200, low=150, high=300),
                why_not="",
            ),
            "notes": [EVIL],
            **fields,
        }
    )


def report(labels: pa.Table, **fields: Any) -> LabellingReport:
    return LabellingReport(
        **{
            "project": EVIL,
            "task": "single_label",
            "at": NOON,
            "labelled": 20,
            "conflicts": 0,
            "open_tasks": 12,
            "statistics": statistics(labels, {f"{1:064x}": EVIL}),
            "agreement": AgreementSummary.of(agreement(labels)),
            "curve": curve(),
            "why_no_curve": "",
            "label_studio_url": "http://127.0.0.1:8080/projects/1",
            **fields,
        }
    )


def test_a_whole_page_shows_what_a_lead_asks_for() -> None:
    shown = report(table(), conflicts=2)
    found = read(shown)
    for text in (
        f"{shown.statistics.speed.per_hour:.0f}labels an hour",
        "Krippendorff",
        "120labels saved",
        "80% interval: 70 to 220",
        "expected +1.4 ± 0.6 points of F1",
        "Check: half of the measured labels (40) foretold 79.0% ± 2.0 points",
        "Cannot tell for 1 class",
        "2 images with labels that contradict",
        "12tasks in the queue",
    ):
        assert text in found.text, text
    assert found.links == ["http://127.0.0.1:8080/projects/1"]


def test_a_sample_is_called_one() -> None:
    shown = read(report(table(), curve=curve(labels=800, measured=80))).text
    assert "800 labels to learn from (80 of them measured), 40 to test on" in shown
    chart = curve_chart(curve(labels=800, measured=80))
    assert chart.caption == "accuracy over labels: 80.0% with 80"


def test_what_comes_from_outside_is_text() -> None:
    assert "<script>" not in page(report(table()))
    assert EVIL in read(report(table())).text


def test_an_address_that_is_none_is_no_link() -> None:
    assert read(report(table(), label_studio_url="javascript:alert(1)")).links == []


def test_without_labels_it_says_how_they_come() -> None:
    nothing = report(LABELS_SCHEMA.empty_table(), labelled=0, curve=None, why_no_curve="no model")
    found = read(nothing)
    assert "No labels yet" in found.text
    assert "imgclf up --label-studio" in found.text


def test_with_ingested_labels_alone_there_is_a_curve_and_no_work() -> None:
    found = read(report(LABELS_SCHEMA.empty_table(), open_tasks=None))
    assert "nobody has labelled in Label Studio yet" in found.text
    assert "How accuracy grows" in found.text
    assert "tasks in the queue" not in found.text


def test_without_a_model_it_says_why_there_is_no_curve() -> None:
    found = read(report(table(), curve=None, why_no_curve="no model was trained yet"))
    assert "cannot be measured yet: no model was trained yet" in found.text


def test_work_without_prelabels_and_times() -> None:
    found = read(report(table(prelabel_version=None, prelabel=None, lead_time_s=None)))
    assert "Label Studio gave no times" in found.text
    assert "Pre-labels kept, by class" not in found.text


@pytest.mark.parametrize(
    ("needed", "says"),
    [
        (Estimate(value=None, low=150, high=None), "> 70"),
        (Estimate(value=100, low=60, high=None), "not enough data: −20 or more"),
        (None, "not enough data: because"),
    ],
)
def test_saved_labels_are_reported_with_their_uncertainty(
    needed: Estimate | None, says: str
) -> None:
    saved = Saved(chosen=30, random=50, points=None, needed=needed, why_not="because")
    assert says in read(report(table(), curve=curve(saved=saved))).text


def test_a_curve_without_a_law_is_drawn_too() -> None:
    found = read(report(table(), curve=curve(forecast=[])))
    assert "circle" in found.tags
    assert found.tags.isdisjoint({"polyline", "polygon"})


def test_advice_begins_with_the_most_useful() -> None:
    better = Estimate(value=0.03, low=0.02, high=0.04)
    two = [
        ClassCurve(label=name, labels=50, f1=0.5, more=20, gain=gain, why_not="", points=None)
        for name, gain in (("cat", curve().gain), ("dog", better))
    ]
    found = advice(curve(classes=two))
    assert found[0] == "20 more of dog: expected +3.0 ± 1.0 points of F1"
    assert found[-1] == "20 more of all kinds: expected +1.4 ± 0.6 points of accuracy"
    assert advice(None) == []


def test_a_loss_is_reported_with_a_minus() -> None:
    assert gain_text(Estimate(value=-0.01, low=-0.02, high=0.0)) == "expected −1.0 ± 1.0"


@pytest.mark.parametrize(
    ("low", "high"), [(0.8, 0.9), (0, 1), (0.8999, 0.9001), (0, 0), (0, 5000), (0.3, 0.301)]
)
def test_ticks_are_few_and_in_order(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))


def test_two_reports_are_the_same_whenever_they_were_made() -> None:
    one = report(table())
    assert one.same_as(one.model_copy(update={"at": NOON + timedelta(days=1)}))
    assert not one.same_as(one.model_copy(update={"open_tasks": 1}))
    assert LabellingReport.model_validate_json(one.model_dump_json()) == one
