"""The page of the labelling report: one HTML file that runs no script and loads nothing."""

from collections.abc import Sequence
from html import escape

from labelling.curve_report import CurveReport
from labelling.pace import Times
from labelling.report import LabellingReport, advice, gain_text
from labelling.report_charts import curve_chart, days_chart, gain_bars, percent, share_bars
from labelling.report_style import STYLE
from labelling.report_words import (
    coefficient,
    count,
    emphasised,
    hours,
    number,
    person,
    seconds,
    signed,
)
from labelling.statistics import Annotator, Share, Statistics

MOST_CLASSES = 24
MOST_ROWS = 12


def page(report: LabellingReport) -> str:
    """The whole page, as HTML."""
    parts = [_header(report)]
    if report.conflicts:
        parts.append(
            f'<p class="note">{count(report.conflicts, "image")} with labels that contradict each '
            "other: they stay out of the data set until somebody says which is right. They are "
            "first in the queue.</p>"
        )
    if not report.labelled and not report.statistics.annotations:
        parts.append(_nothing_yet(report))
    else:
        parts += [_tiles(report), _curve_sections(report), _work_sections(report)]
        parts.append(_agreement(report))
    title = escape(f"{report.project}: labelling")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{''.join(parts)}"
        f"<footer>Made {report.at:%Y-%m-%d %H:%M} UTC by the asset <code>labelling_report</code>. "
        "Whiskers and ± show how sure a number is: 95% intervals of shares, 80% of forecasts."
        "</footer></main></body></html>"
    )


def _header(report: LabellingReport) -> str:
    work = report.statistics
    said = f"{count(report.labelled, 'image')} with a label"
    if work.annotations:
        people = len(work.annotators)
        said += (
            f"; {count(work.annotations, 'annotation')} by {count(people, 'person', 'people')} "
            f"in {hours(work.speed.hours)} of work"
        )
    link = ""
    if report.label_studio_url.startswith(("http://", "https://")):
        link = f' · <a href="{escape(report.label_studio_url)}">open Label Studio</a>'
    return f"<header><h1>{escape(report.project)}: labelling</h1><p>{said}{link}</p></header>"


def _nothing_yet(report: LabellingReport) -> str:
    waiting = (
        f"<p>{count(report.open_tasks, 'task')} waiting in Label Studio.</p>"
        if report.open_tasks
        else ""
    )
    return (
        '<section class="empty"><h2>No labels yet</h2><p>This page fills as soon as somebody '
        f"labels.</p>{waiting}<ol><li>Put images into the line: <code>imgclf ingest FOLDER</code>."
        "</li><li>Start Label Studio: <code>imgclf up --label-studio</code>.</li><li>Materialize "
        "<code>labelling_queue</code>: it puts the images that are worth a person's time into "
        "Label Studio.</li><li>Label. Each save comes back by itself.</li></ol></section>"
    )


def _tiles(report: LabellingReport) -> str:
    work = report.statistics
    tiles = [
        (number(work.speed.per_hour), "labels an hour", _sessions(work)),
        (percent(work.accepted.value), "of pre-labels kept", _interval(work.accepted)),
        (seconds(work.times.median_s), "a task", _quartiles(work.times)),
        (_alpha(report), "agreement (Krippendorff's α)", _double_labelled(report)),
        _saved_tile(report),
    ]
    if report.open_tasks is not None:
        tiles.append((f"{report.open_tasks:,}", "tasks in the queue", _days_left(report)))
    cells = "".join(
        f'<div class="tile"><b>{value}</b><span>{name}</span><small>{escape(more)}</small></div>'
        for value, name, more in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _saved_tile(report: LabellingReport) -> tuple[str, str, str]:
    name, saved = "labels saved against random order", report.saved
    if saved is None:
        why = report.curve.saved.why_not if report.curve else report.why_no_curve
        return "–", name, f"not enough to tell: {why}" if why else "not enough to tell"
    low = saved.low or 0.0
    if saved.value is not None and saved.high is not None:
        return signed(saved.value), name, f"80% interval: {signed(low)} to {signed(saved.high)}"
    if low > 0:
        return f"> {low:,.0f}", name, "9 times of 10, by the curve of random images"
    return "–", name, f"not enough to tell: {signed(low)} or more, 9 times of 10"


def _curve_sections(report: LabellingReport) -> str:
    curve = report.curve
    if curve is None:
        return (
            "<section><h2>What more labels would bring</h2><p>A learning curve cannot be measured "
            f"yet: {escape(report.why_no_curve)}.</p></section>"
        )
    told = advice(curve)
    headline = f'<p class="headline">{emphasised(told[0])}</p>' if told else ""
    unknown = [one for one in curve.classes if one.gain is None]
    cannot = "".join(f"<li>{escape(one.label)}: {escape(one.why_not)}</li>" for one in unknown)
    silent = (
        f"<details><summary>Cannot tell for {count(len(unknown), 'class', 'classes')}</summary>"
        f"<ul>{cannot}</ul></details>"
        if unknown
        else ""
    )
    more = (
        f"<p>Better classes are not shown: {len(curve.not_shown)}.</p>" if curve.not_shown else ""
    )
    gains = (
        "<section><h2>What more labels would bring</h2><p>Points of a class's F1, when it alone "
        f"gets more labels.</p>{headline}{gain_bars(curve)}{silent}{more}</section>"
    )
    return f'<div class="grid2">{gains}{_curve_section(curve)}</div>'


def _curve_section(curve: CurveReport) -> str:
    if curve.gain is None:
        headline = f"More labels of all kinds: cannot tell ({escape(curve.why_not)})"
    else:
        headline = (
            f"{curve.more:,} more of all kinds: <em>{gain_text(curve.gain)}</em> points of "
            f"{curve.score_name}"
        )
    check = ""
    if curve.backtest is not None:
        told = curve.backtest.foretold
        check = (
            f"<p>Check: half of the measured labels ({curve.backtest.labels:,}) foretold "
            f"{percent(told.value, 1)} ± {100 * told.reach:.1f} points for all of them; it is "
            f"{percent(curve.backtest.score, 1)}.</p>"
        )
    part = "" if curve.measured == curve.labels else f" ({curve.measured:,} of them measured)"
    notes = "".join(f"<li>{escape(note)}</li>" for note in curve.notes)
    return (
        f"<section><h2>How {curve.score_name} grows with the labels</h2><p>{curve.labels:,} labels "
        f"to learn from{part}, {curve.held:,} to test on.</p><p class='headline'>{headline}</p>"
        f"{curve_chart(curve)}{check}<details><summary>How this is measured</summary>"
        f"<ul>{notes}<li>Data set <code>{escape(curve.dataset_version)}</code>, model "
        f"<code>{escape(curve.model_version)}</code>.</li></ul></details></section>"
    )


def _work_sections(report: LabellingReport) -> str:
    work = report.statistics
    if not work.annotations:
        return (
            "<section><h2>People's work</h2><p>All labels came with their images: nobody has "
            "labelled in Label Studio yet.</p></section>"
        )
    by_class = sorted(work.accepted_by_class.items(), key=lambda item: item[1].value or 0.0)
    versions = [(v.model_version, v.accepted) for v in work.accepted_by_version][-MOST_ROWS:]
    by_reason = sorted(work.accepted_by_reason.items(), key=lambda item: -item[1].of)
    prelabels = ""
    if work.accepted.of:
        prelabels = (
            '<div class="grid2"><section><h2>Pre-labels kept, by class</h2><p>Of the images that '
            f"the model called so; the worst first.</p>"
            f"{share_bars(by_class[:MOST_CLASSES], of='pre-labels')}</section>"
            "<section><h2>Pre-labels kept, by why the image was chosen</h2><p>Images drawn at "
            "random (exploration) tell how good the model is; the others were chosen because it "
            f"was not sure.</p>{share_bars(by_reason[:MOST_ROWS], of='annotations')}"
            "<h2 style='margin-top:18px'>By model version</h2><p>The oldest first.</p>"
            f"{share_bars(versions, of='annotations')}</section></div>"
        )
    return prelabels + (
        f'<div class="grid2"><section><h2>Labels by day</h2><p>{work.skipped.count:,} of '
        f"{work.skipped.of:,} tasks were skipped.</p>{days_chart(work.days)}</section>"
        f"<section><h2>People</h2><p>Hours without pauses over 30 minutes.</p>"
        f"{_people(work.annotators)}{_kept_and_corrected(work)}</section></div>"
    )


def _people(annotators: Sequence[Annotator]) -> str:
    rows = "".join(
        f"<tr><td>{escape(person(one.name))}</td><td>{one.speed.labels:,}</td>"
        f"<td>{number(one.speed.per_hour)}</td><td>{seconds(one.times.median_s)}</td>"
        f"<td>{percent(one.accepted.value)}</td><td>{one.skipped:,}</td></tr>"
        for one in annotators[:MOST_ROWS]
    )
    more = (
        f"<p class='soft'>… and {len(annotators) - MOST_ROWS} more.</p>"
        if len(annotators) > MOST_ROWS
        else ""
    )
    return (
        '<div class="wide"><table><thead><tr><th>who</th><th>labels</th><th>an hour</th>'
        "<th>a task</th><th>kept</th><th>skipped</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{more}"
    )


def _kept_and_corrected(work: Statistics) -> str:
    kept, corrected = work.times_accepted.median_s, work.times_corrected.median_s
    if kept is None or corrected is None:
        return ""
    return (
        f"<p style='margin-top:12px'>A pre-label that is right takes {seconds(kept)}, one that must "
        f"be corrected {seconds(corrected)} (medians).</p>"
    )


def _agreement(report: LabellingReport) -> str:
    found = report.agreement
    if not found.images:
        return (
            "<section><h2>Agreement</h2><p>No image was labelled by two people yet. Let two people "
            "label a few of the same images to see where the classes are unclear.</p></section>"
        )
    pairs = "".join(
        f"<tr><td>{escape(person(p.annotator_a))} and {escape(person(p.annotator_b))}</td>"
        f"<td>{p.images:,}</td><td>{percent(p.same)}</td><td>{coefficient(p.kappa)}</td></tr>"
        for p in sorted(found.pairs, key=lambda p: -p.images)[:MOST_ROWS]
    )
    classes = "".join(
        f"<tr><td>{escape(c.label)}</td><td>{c.images:,}</td><td>{percent(c.same)}</td>"
        f"<td>{coefficient(c.alpha)}</td></tr>"
        for c in sorted(found.classes, key=lambda c: (c.same, c.label))[:MOST_CLASSES]
    )
    return (
        f"<section><h2>Agreement</h2><p>{count(found.images, 'image')} labelled by two people or "
        f"more; they differ on {found.disagreements:,}. 1 is perfect, 0 is chance.</p>"
        '<div class="grid2" style="margin:0"><div class="wide"><table><thead><tr><th>pair</th>'
        f"<th>images</th><th>same</th><th>Cohen's κ</th></tr></thead><tbody>{pairs}</tbody></table>"
        '</div><div class="wide"><table><thead><tr><th>class</th><th>images</th><th>same</th>'
        f"<th>α</th></tr></thead><tbody>{classes}</tbody></table></div></div></section>"
    )


def _sessions(work: Statistics) -> str:
    return f"{hours(work.speed.hours)} in {count(work.speed.sessions, 'session')}"


def _interval(found: Share) -> str:
    return f"{percent(found.low)} to {percent(found.high)}, of {found.of:,}" if found.of else "none"


def _quartiles(took: Times) -> str:
    if took.median_s is None:
        return "Label Studio told no times"
    left_out = f"; {took.outliers} outliers left out" if took.outliers else ""
    return f"half took {seconds(took.lower_s)} to {seconds(took.upper_s)}{left_out}"


def _alpha(report: LabellingReport) -> str:
    return coefficient(report.agreement.alpha)


def _double_labelled(report: LabellingReport) -> str:
    found = report.agreement
    if not found.images:
        return "no image has two annotators"
    return f"same on {percent(found.same)} of {count(found.images, 'image')}"


def _days_left(report: LabellingReport) -> str:
    per_hour = report.statistics.speed.per_hour
    if not per_hour or not report.open_tasks:
        return ""
    return f"about {hours(report.open_tasks / per_hour)} of work"
