"""Charts of the labelling report: HTML and SVG without scripts, coloured by the page's style.

Every text that comes from outside is escaped here.
"""

from collections.abc import Sequence
from html import escape

from labelling.curve_report import CurveReport
from labelling.learning_curve import Estimate
from labelling.statistics import Day, Share

_WIDTH, _HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 40
_MOST_DAYS = 42
_ROUNDS = (1, 2, 2.5, 5, 10)


def percent(value: float | None, digits: int = 0) -> str:
    """``0.876`` as ``88%``; a dash for ``None``."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def share_bars(shares: Sequence[tuple[str, Share]], *, of: str) -> str:
    """A row for each (name, share): a bar as long as the share, and a whisker for its interval.

    Args:
        of: what the counts are of, such as ``pre-labels``.
    """
    rows = []
    for name, one in shares:
        if one.value is None:
            continue
        said = f"{name}: {one.count} of {one.of} {of}, {percent(one.low)} to {percent(one.high)}"
        rows.append(
            f'<div class="row" title="{escape(said)}"><span class="name">{escape(name)}</span>'
            f'<span class="track"><i class="bar" style="width:{100 * one.value:.1f}%"></i>'
            f'<i class="whisker" style="left:{100 * one.low:.1f}%;'
            f'width:{100 * (one.high - one.low):.1f}%"></i></span>'
            f'<span class="value">{percent(one.value)}'
            f"<small>{one.count:,}/{one.of:,}</small></span></div>"
        )
    return f'<div class="rows">{"".join(rows)}</div>'


def gain_bars(curve: CurveReport) -> str:
    """A row for each class: the interval of its gain on a scale that all share, zero marked."""
    told = [one for one in curve.classes if one.gain is not None]
    told.sort(key=lambda one: -(one.gain.value or 0.0) if one.gain else 0.0)
    if not told:
        return ""
    bounds = [b for one in told if one.gain for b in (one.gain.low or 0.0, one.gain.high or 0.0)]
    low, high = min(0.0, *bounds), max(0.005, *bounds)

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    rows = []
    for one in told:
        gain = one.gain or Estimate(value=0, low=0, high=0)
        start, end = place(gain.low or 0.0), place(gain.high or 0.0)
        rows.append(
            f'<div class="row"><span class="name">{escape(one.label)}'
            f"<small>{one.labels:,} labels, F1 {one.f1:.2f}</small></span>"
            f'<span class="track thin"><i class="zero" style="left:{place(0):.1f}%"></i>'
            f'<i class="range" style="left:{start:.1f}%;width:{end - start:.1f}%"></i>'
            f'<i class="dot" style="left:{place(gain.value or 0.0):.1f}%"></i></span>'
            f'<span class="value">{points(gain)}<small>{one.more:,} more</small></span></div>'
        )
    return f'<div class="rows gains">{"".join(rows)}</div>'


def points(gain: Estimate) -> str:
    """``+1.4 ± 0.6``, in points."""
    value = 100 * (gain.value or 0.0)
    return f"{'−' if value < -0.05 else '+'}{abs(value):.1f} ± {100 * gain.reach:.1f}"


def curve_chart(curve: CurveReport) -> str:
    """The score over the number of labels: what was measured, the law with its interval, and today
    (or the sample of today's labels that was measured)."""
    seen = [s for scores in curve.points.scores for s in scores]
    bands = [
        (f.labels, f.score.low or 0, f.score.value or 0, f.score.high or 1) for f in curve.forecast
    ]
    most = bands[-1][0] if bands else curve.points.sizes[-1]
    low = min([*seen, *(band[1] for band in bands)])
    high = max([*seen, *(band[3] for band in bands)])
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def x(labels: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * labels / most

    def y(score: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (score - low) / max(high - low, 1e-9))

    parts = [
        _horizontal(y(tick), percent(tick, 1 if ticks[1] - ticks[0] < 0.01 else 0))
        for tick in ticks
    ]
    parts += [_below(x(tick), f"{tick:,.0f}") for tick in _ticks(0, most)]
    past = [band for band in bands if band[0] <= curve.measured]
    ahead = [band for band in bands if band[0] >= curve.measured]
    if bands:
        edge = [(x(b[0]), y(b[3])) for b in bands] + [(x(b[0]), y(b[1])) for b in reversed(bands)]
        parts.append(f'<polygon class="band" points="{_path(edge)}"/>')
        for those, style in ((past, "law"), (ahead, "law ahead")):
            parts.append(
                f'<polyline class="{style}" points="{_path([(x(b[0]), y(b[2])) for b in those])}"/>'
            )
    for size, scores in zip(curve.points.sizes, curve.points.scores, strict=True):
        parts += [
            f'<circle class="seen" cx="{x(size):.1f}" cy="{y(s):.1f}" r="2.2"/>' for s in scores
        ]
    now = (x(curve.measured), y(curve.score))
    parts.append(f'<circle class="now" cx="{now[0]:.1f}" cy="{now[1]:.1f}" r="5"/>')
    parts.append(
        f'<text class="axis" x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"labelled training images</text>"
    )
    said = f"{curve.score_name} over labels: {percent(curve.score, 1)} with {curve.measured:,}"
    return _svg(parts, said)


def days_chart(days: Sequence[Day]) -> str:
    """Labels by day, the last six weeks."""
    shown = days[-_MOST_DAYS:]
    most = max(day.labels for day in shown)
    ticks = [tick for tick in _ticks(0, most) if tick == round(tick)]
    top = max(most, ticks[-1])
    height = 170
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(shown), 14)
    parts = []

    def y(labels: float) -> float:
        return _TOP + (height - _TOP - 26) * (1 - labels / top)

    parts += [_horizontal(y(tick), f"{tick:,.0f}") for tick in ticks]
    for place, day in enumerate(shown):
        left = _LEFT + place * step + step * 0.12
        parts.append(
            f'<rect class="day" x="{left:.1f}" y="{y(day.labels):.1f}" width="{step * 0.76:.1f}" '
            f'height="{y(0) - y(day.labels):.1f}" rx="1.5"><title>{escape(day.date)}: '
            f"{day.labels:,}</title></rect>"
        )
    edges = [(0, "start", shown[0].date)]
    if len(shown) > 7:
        edges.append((len(shown), "end", shown[-1].date))
    parts += [
        f'<text class="axis" x="{_LEFT + place * step:.1f}" y="{height - 8}" '
        f'text-anchor="{anchor}">{escape(date)}</text>'
        for place, anchor, date in edges
    ]
    return _svg(parts, "labels by day", height)


def _svg(parts: Sequence[str], said: str, height: int = _HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(said)}">'
        f"{''.join(parts)}</svg>"
    )


def _horizontal(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _below(x: float, text: str) -> str:
    return (
        f'<text class="axis" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" '
        f'text-anchor="middle">{text}</text>'
    )


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from ``low`` to ``high``, about four of them, two at least."""
    if high <= low:
        high = low + 1
    raw = (high - low) / about
    size = 10.0 ** len(str(int(raw))) / 10 if raw >= 1 else 1.0
    while size > raw:
        size /= 10
    step = next(size * factor for factor in _ROUNDS if size * factor >= raw * 0.999)
    first = int(low // step) + (low % step > step * 1e-6)
    ticks = [n * step for n in range(first, int(high / step + 1e-6) + 1)]
    return ticks if len(ticks) > 1 else [low, high]
