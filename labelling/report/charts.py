"""Charts of the labelling report: the coordinates of their marks. The templates draw them as HTML
and SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from labelling.report.curve_law import Estimate
from labelling.report.curve_report import CurveReport
from labelling.report.statistics import Day
from labelling.report.words import percent

_WIDTH, _HEIGHT, _DAYS_HEIGHT = 460, 270, 170
_LEFT, _RIGHT, _TOP, _BOTTOM, _DAYS_BOTTOM = 44, 12, 12, 40, 26
_MOST_DAYS = 42
_ROUNDS = (1, 2, 2.5, 5, 10)

Corner = tuple[float, float]
"""x and y in units of the chart, y downwards."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of a chart in its own units; the page scales it to its width."""

    height: int
    bottom: int
    width: int = _WIDTH
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP

    @property
    def base(self) -> int:
        """y of the chart's lower edge."""
        return self.height - self.bottom


@dataclass(frozen=True, slots=True)
class Tick:
    """A text on an axis; ``anchor`` is SVG's ``text-anchor``."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveChart:
    """The score over the number of labels.

    Attributes:
        frame: the frame of the chart.
        caption: what the chart shows, for screen readers.
        scores, labels: the texts on the two axes.
        band: corners of the forecast's interval; empty without a forecast.
        law, ahead: points of the fitted curve up to the present number of labels, and from there
            on.
        seen: the measured scores.
        now: the present score.
    """

    frame: Frame
    caption: str
    scores: list[Tick]
    labels: list[Tick]
    band: list[Corner]
    law: list[Corner]
    ahead: list[Corner]
    seen: list[Corner]
    now: Corner


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBar:
    """The labels of one day: a bar from ``y`` down to the chart's lower edge."""

    x: float
    y: float
    width: float
    height: float
    day: Day


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysChart:
    """Labels by day."""

    frame: Frame
    caption: str
    labels: list[Tick]
    dates: list[Tick]
    bars: list[DayBar]


@dataclass(frozen=True, slots=True, kw_only=True)
class GainBar:
    """The gain of one class. Positions are per cent of a scale that all classes share."""

    label: str
    labels: int
    f1: float
    more: int
    gain: str
    zero: float
    start: float
    length: float
    dot: float


def gain_bars(curve: CurveReport) -> list[GainBar]:
    """A bar for each class whose gain is known, the largest gain first."""
    known = [(one, one.gain) for one in curve.classes if one.gain is not None]
    known.sort(key=lambda pair: -(pair[1].value or 0.0))
    bounds = [bound for _, gain in known for bound in (gain.low or 0.0, gain.high or 0.0)]
    low, high = min([0.0, *bounds]), max([0.005, *bounds])

    def place(value: float | None) -> float:
        return 100 * ((value or 0.0) - low) / (high - low)

    return [
        GainBar(
            label=one.label,
            labels=one.labels,
            f1=one.f1,
            more=one.more,
            gain=points(gain),
            zero=place(0),
            start=place(gain.low),
            length=place(gain.high) - place(gain.low),
            dot=place(gain.value),
        )
        for one, gain in known
    ]


def points(gain: Estimate) -> str:
    """A gain in percentage points: ``+1.4 ± 0.6``."""
    value = 100 * (gain.value or 0.0)
    return f"{'−' if value < -0.05 else '+'}{abs(value):.1f} ± {100 * gain.reach:.1f}"


def curve_chart(curve: CurveReport) -> CurveChart:
    """Chart the score over the number of labels: measured scores, the fitted curve with its
    interval, and the present score."""
    frame = Frame(_HEIGHT, _BOTTOM)
    seen = [s for scores in curve.points.scores for s in scores]
    bands = [
        (f.labels, f.score.low or 0, f.score.value or 0, f.score.high or 1) for f in curve.forecast
    ]
    most = bands[-1][0] if bands else curve.points.sizes[-1]
    low = min([*seen, *(band[1] for band in bands)])
    high = max([*seen, *(band[3] for band in bands)])
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    digits = 1 if ticks[1] - ticks[0] < 0.01 else 0

    def x(labels: float) -> float:
        return frame.left + (frame.right - frame.left) * labels / most

    def y(score: float) -> float:
        share = (score - low) / max(high - low, 1e-9)
        return frame.top + (frame.base - frame.top) * (1 - share)

    return CurveChart(
        frame=frame,
        caption=f"{curve.score_name} over labels: {percent(curve.score, 1)} "
        f"with {curve.measured:,}",
        scores=[Tick(y(tick), percent(tick, digits)) for tick in ticks],
        labels=[Tick(x(tick), f"{tick:,.0f}") for tick in _ticks(0, most)],
        band=[(x(b[0]), y(b[3])) for b in bands] + [(x(b[0]), y(b[1])) for b in reversed(bands)],
        law=[(x(b[0]), y(b[2])) for b in bands if b[0] <= curve.measured],
        ahead=[(x(b[0]), y(b[2])) for b in bands if b[0] >= curve.measured],
        seen=[
            (x(size), y(score))
            for size, scores in zip(curve.points.sizes, curve.points.scores, strict=True)
            for score in scores
        ],
        now=(x(curve.measured), y(curve.score)),
    )


def days_chart(days: Sequence[Day]) -> DaysChart:
    """Chart the labels by day, the last six weeks."""
    frame = Frame(_DAYS_HEIGHT, _DAYS_BOTTOM)
    shown = days[-_MOST_DAYS:]
    most = max(day.labels for day in shown)
    ticks = [tick for tick in _ticks(0, most) if tick == round(tick)]
    top = max(most, ticks[-1])
    step = (frame.right - frame.left) / max(len(shown), 14)

    def y(labels: float) -> float:
        return frame.top + (frame.base - frame.top) * (1 - labels / top)

    dates = [Tick(frame.left, shown[0].date, "start")]
    if len(shown) > 7:
        dates.append(Tick(frame.left + len(shown) * step, shown[-1].date, "end"))
    return DaysChart(
        frame=frame,
        caption="labels by day",
        labels=[Tick(y(tick), f"{tick:,.0f}") for tick in ticks],
        dates=dates,
        bars=[
            DayBar(
                x=frame.left + place * step + step * 0.12,
                y=y(day.labels),
                width=step * 0.76,
                height=y(0) - y(day.labels),
                day=day,
            )
            for place, day in enumerate(shown)
        ],
    )


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    """About ``about`` round numbers from ``low`` to ``high``, at least two."""
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
