"""The page of the labelling report: one HTML file without scripts and external resources.

This module provides the values; ``templates/report.html`` lays them out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from labelling.report import words
from labelling.report.charts import curve_chart, days_chart, gain_bars
from labelling.report.curve_report import CurveReport
from labelling.report.pace import Times
from labelling.report.report import AgreementSummary, LabellingReport, advice, gain_text
from labelling.report.statistics import Share, Statistics

if TYPE_CHECKING:
    import jinja2

MOST_CLASSES = 24
MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the top of the page, with its name and a line below."""

    value: str
    name: str
    more: str


def page(report: LabellingReport) -> str:
    """The whole page, as HTML."""
    return _templates().get_template("report.html").render(page_values(report))


@cache
def _templates() -> "jinja2.Environment":
    """The templates of this package: every value is escaped, and a missing one is an error."""
    import jinja2  # takes 0.08 s of CPU, and is needed only here

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("labelling"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "coefficient": words.coefficient,
        "hours": words.hours,
        "number": words.number,
        "percent": words.percent,
        "person": words.person,
        "quantity": words.count,
        "seconds": words.seconds,
        "thousands": "{:,}".format,
    }
    return environment


def page_values(report: LabellingReport) -> dict[str, Any]:
    """The values for the template ``report.html``."""
    curve, work = report.curve, report.statistics
    is_empty = not report.labelled and not work.annotations
    return {
        "report": report,
        "is_empty": is_empty,
        # A javascript: URL would run in the browser of whoever clicks on it.
        "is_web": report.label_studio_url.startswith(("http://", "https://")),
        "tiles": _tiles(report),
        "curve": _curve_values(curve) if curve else None,
        "work": _work_values(work) if work.annotations else None,
        "agreement": _agreement_values(report.agreement) if report.agreement.images else None,
    }


def _tiles(report: LabellingReport) -> list[Tile]:
    work = report.statistics
    tiles = [
        Tile(words.number(work.speed.per_hour), "labels an hour", _sessions(work)),
        Tile(words.percent(work.accepted.value), "of pre-labels kept", _interval(work.accepted)),
        Tile(words.seconds(work.times.median_s), "a task", _quartiles(work.times)),
        Tile(
            words.coefficient(report.agreement.alpha),
            "agreement (Krippendorff's α)",
            _double_labelled(report.agreement),
        ),
        _saved_tile(report),
    ]
    if report.open_tasks is not None:
        tiles.append(Tile(f"{report.open_tasks:,}", "tasks in the queue", _days_left(report)))
    return tiles


def _saved_tile(report: LabellingReport) -> Tile:
    name, saved = "labels saved against random order", report.saved
    if saved is None:
        why = report.curve.saved.why_not if report.curve else report.why_no_curve
        return Tile("–", name, f"not enough data: {why}" if why else "not enough data")
    low = saved.low or 0.0
    if saved.value is not None and saved.high is not None:
        interval = f"80% interval: {words.signed(low)} to {words.signed(saved.high)}"
        return Tile(words.signed(saved.value), name, interval)
    if low > 0:
        return Tile(f"> {low:,.0f}", name, "9 times of 10, by the curve of random images")
    return Tile("–", name, f"not enough data: {words.signed(low)} or more, 9 times of 10")


def _curve_values(curve: CurveReport) -> Mapping[str, Any]:
    """The values of the sections on more labels; headlines as pairs of text and gain."""
    best = advice(curve)[:1]
    return {
        "found": curve,
        "best": best[0].rpartition(": ")[::2] if best else None,
        "gains": gain_bars(curve),
        "unknown": [one for one in curve.classes if one.gain is None],
        "gain": None if curve.gain is None else gain_text(curve.gain),
        "chart": curve_chart(curve),
    }


def _work_values(work: Statistics) -> Mapping[str, Any]:
    """The values of the sections on people's work, with lists cut to the page's length."""
    by_class = sorted(work.accepted_by_class.items(), key=lambda item: item[1].value or 0.0)
    by_reason = sorted(work.accepted_by_reason.items(), key=lambda item: -item[1].of)
    by_version = [(one.model_version, one.accepted) for one in work.accepted_by_version]
    return {
        "found": work,
        "by_class": by_class[:MOST_CLASSES],
        "by_reason": by_reason[:MOST_ROWS],
        "by_version": by_version[-MOST_ROWS:],
        "days": days_chart(work.days),
        "people": work.annotators[:MOST_ROWS],
        "people_left_out": max(0, len(work.annotators) - MOST_ROWS),
    }


def _agreement_values(found: AgreementSummary) -> Mapping[str, Any]:
    pairs = sorted(found.pairs, key=lambda pair: -pair.images)
    classes = sorted(found.classes, key=lambda one: (one.same, one.label))
    return {"found": found, "pairs": pairs[:MOST_ROWS], "classes": classes[:MOST_CLASSES]}


def _sessions(work: Statistics) -> str:
    return f"{words.hours(work.speed.hours)} in {words.count(work.speed.sessions, 'session')}"


def _interval(found: Share) -> str:
    if not found.of:
        return "none"
    return f"{words.percent(found.low)} to {words.percent(found.high)}, of {found.of:,}"


def _quartiles(took: Times) -> str:
    if took.median_s is None:
        return "Label Studio gave no times"
    left_out = f"; {took.outliers} outliers left out" if took.outliers else ""
    return f"half took {words.seconds(took.lower_s)} to {words.seconds(took.upper_s)}{left_out}"


def _double_labelled(found: AgreementSummary) -> str:
    if not found.images:
        return "no image has two annotators"
    return f"same on {words.percent(found.same)} of {words.count(found.images, 'image')}"


def _days_left(report: LabellingReport) -> str:
    per_hour = report.statistics.speed.per_hour
    if not per_hour or not report.open_tasks:
        return ""
    return f"about {words.hours(report.open_tasks / per_hour)} of work"
