"""The pictures of an evaluation, as PNG files.

Drawn with matplotlib's objects without pyplot, which opens windows and has global state.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from training.evaluation import fonts
from training.evaluation.metrics import Bin, Mistake
from training.evaluation.report import EvaluationReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 40
"""Most classes of a picture; of more, the most confused are shown. The report has all."""

MOST_MISTAKES = 24
TILE_PIXELS = 128

_DPI = 100
_COLUMNS = 6
_LONGEST = 26
_RIGHT, _MISSED, _WRONG, _GREY = "#2a7f62", "#e0a100", "#c0392b", "#666666"


def draw_confusion(path: Path, report: EvaluationReport) -> None:
    """Draw the confusion matrix (single_label), or labels found and missed (multi_label)."""
    if report.task == "multi_label":
        _draw_found_and_missed(path, report)
        return
    counts, labels = _most_confused(np.array(report.confusion_matrix), report.labels)
    side = 1.5 + max(2.5, 0.38 * len(labels))
    with picture_file(path, side + 1.2, side + 1.0) as figure:
        axes = figure.add_subplot()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(_right_blue_wrong_orange(shares))
        size = 9 if len(labels) <= 20 else 7
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.4 else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, fontsize=size
                )
        names = [short(label) for label in labels]
        places = range(len(labels))
        axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(places, names)
        axes.set_xticks(np.arange(-0.5, len(labels)), minor=True)
        axes.set_yticks(np.arange(-0.5, len(labels)), minor=True)
        axes.grid(which="minor", color="#dddddd", linewidth=0.5)
        axes.tick_params(which="both", length=0, labelsize=size)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(
            f"{report.accuracy:.1%} of {report.n_test:,} test images right\n"
            "counts; the darker, the bigger the share of the row",
            fontsize=10,
        )


def draw_per_class(path: Path, report: EvaluationReport) -> None:
    """Draw precision and recall of each label, worst recall first, and the champion's recall."""
    order = sorted(report.labels, key=lambda label: (report.per_class[label].recall, label))
    shown = order[:MOST_CLASSES]
    places = np.arange(len(shown))
    scores = [report.per_class[label] for label in shown]
    with picture_file(path, 7.5, 1.4 + 0.42 * len(shown)) as figure:
        axes = figure.add_subplot()
        axes.barh(places - 0.2, [s.recall for s in scores], 0.36, color=_RIGHT, label="recall")
        axes.barh(
            places + 0.2, [s.precision for s in scores], 0.36, color="#9cc5b5", label="precision"
        )
        if report.champion is not None:
            before = [report.champion.per_class[label].recall for label in shown]
            axes.plot(
                before, places - 0.2, "|", color="black", ms=11, mew=2, label="champion's recall"
            )
        axes.set_yticks(
            places, [f"{short(label)} ({report.per_class[label].support})" for label in shown]
        )
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlim(0, 1.01)
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        _legend_below(figure, axes)
        more = f", the worst {len(shown)} of {len(order)} labels" if len(order) > len(shown) else ""
        axes.set_title(
            f"macro-F1 {report.macro_f1:.3f} (label, number of test images{more})", fontsize=10
        )


def draw_reliability(path: Path, bins: Sequence[Bin], error: float) -> None:
    """Draw a reliability diagram: accuracy against confidence, with 95% Wilson intervals.

    Args:
        path: of the PNG file to write.
        bins: of confidence.
        error: the calibration error, for the title.
    """
    sure = [item.confidence for item in bins]
    right = [item.accuracy for item in bins]
    errors = np.array([_reach(item) for item in bins]).T
    with picture_file(path, 5, 5) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1, label="perfectly calibrated")
        axes.errorbar(
            sure,
            right,
            yerr=errors,
            fmt="o-",
            ms=5,
            color=_RIGHT,
            ecolor="#9cc5b5",
            label=f"bins of about {round(np.mean([item.count for item in bins]))}, 95% interval",
        )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")
        axes.grid(color="#dddddd")
        axes.set_xlabel("confidence of the model")
        axes.set_ylabel("accuracy")
        axes.set_title(f"calibration error {error:.3f}", fontsize=10)
        _legend_below(figure, axes)


def _reach(item: Bin) -> tuple[float, float]:
    """Return the distances from a bin's accuracy to the ends of its 95% interval."""
    from scipy.stats import binomtest

    right = round(item.accuracy * item.count)
    interval = binomtest(right, item.count).proportion_ci(method="wilson")
    return max(0.0, item.accuracy - interval.low), max(0.0, interval.high - item.accuracy)


def draw_mistakes(
    path: Path,
    mistakes: Sequence[Mistake],
    photos: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    wrong: int,
    total: int,
) -> None:
    """Draw the images of the most confident mistakes, with given and missed labels.

    Args:
        path: of the PNG file to write.
        mistakes: the worst first.
        photos: uint8 [height, width, 3] of each.
        names: file name of each.
        wrong: number of all images with a wrong decision.
        total: number of test images.
    """
    rows = -(-len(mistakes) // _COLUMNS)
    columns = max(4, min(_COLUMNS, len(mistakes)))
    with picture_file(path, 1.9 * columns, 0.7 + 2.4 * rows) as figure:
        figure.suptitle(
            f"{len(mistakes)} surest of {wrong:,} mistakes among {total:,} test images\n"
            "✗ wrongly predicted   ✓ missed   (and the model's probability)"
            if mistakes
            else f"no mistake among {total:,} test images",
            fontsize=10,
        )
        for place, (mistake, photo, name) in enumerate(zip(mistakes, photos, names, strict=True)):
            axes = figure.add_subplot(rows, columns, place + 1)
            _show_square(axes, photo)
            lines = [
                (_caption_line("✗", mistake.given), _WRONG),
                (_caption_line("✓", mistake.missed), _RIGHT),
                (short(name), _GREY),
            ]
            for line, (text, colour) in enumerate(caption for caption in lines if caption[0]):
                axes.annotate(
                    text,
                    (0.5, 0),
                    xycoords="axes fraction",
                    xytext=(0, -3 - 11 * line),
                    textcoords="offset points",
                    ha="center",
                    va="top",
                    color=colour,
                    fontsize=8 if colour != _GREY else 6.5,
                )


def _show_square(axes: "Axes", photo: np.ndarray) -> None:
    """Draw an image at the bottom of a square, so that captions are aligned."""
    height, width, _ = photo.shape
    side = max(height, width)
    axes.imshow(photo)
    axes.set_xlim((width - side) / 2 - 0.5, (width + side) / 2 - 0.5)
    axes.set_ylim(height - 0.5, height - side - 0.5)
    axes.set_axis_off()


def _right_blue_wrong_orange(shares: np.ndarray) -> np.ndarray:
    """Return the colours of a confusion matrix: shares float [L, L] → RGBA float [L, L, 4]."""
    # Square roots of the shares, so that rare mistakes are visible beside the diagonal.
    from matplotlib import colormaps

    strength = np.sqrt(shares)
    wrong = colormaps["Oranges"](strength)
    diagonal = np.diag_indices(len(shares))
    wrong[diagonal] = colormaps["Blues"](strength[diagonal])
    wrong[shares == 0] = 1
    return wrong


def _draw_found_and_missed(path: Path, report: EvaluationReport) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = np.array(report.confusion_matrix)
    order = np.argsort(-(counts[:, 1] + counts[:, 2]), kind="stable")[:MOST_CLASSES]
    places = np.arange(len(order))
    _, added, missed, found = counts[order].T
    with picture_file(path, 7.5, 1.4 + 0.34 * len(order)) as figure:
        axes = figure.add_subplot()
        axes.barh(places, found, color=_RIGHT, label="rightly given")
        axes.barh(places, missed, left=found, color=_MISSED, label="missed")
        axes.barh(places, added, left=found + missed, color=_WRONG, label="wrongly predicted")
        axes.set_yticks(places, [short(report.labels[index]) for index in order])
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("test images")
        axes.set_title(
            f"{report.accuracy:.1%} of {report.n_test:,} test images with exactly their labels",
            fontsize=10,
        )
        _legend_below(figure, axes)


def _most_confused(counts: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Reduce a confusion matrix to ``MOST_CLASSES`` rows and columns; the last sums up the others."""
    if len(labels) <= MOST_CLASSES:
        return counts, list(labels)
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    shown = np.sort(np.argsort(-errors, kind="stable")[: MOST_CLASSES - 1])
    rest = np.setdiff1d(np.arange(len(labels)), shown)
    summed = np.add.reduceat(counts[np.r_[shown, rest]], range(len(shown) + 1), axis=0)
    summed = np.add.reduceat(summed[:, np.r_[shown, rest]], range(len(shown) + 1), axis=1)
    return summed, [*(labels[index] for index in shown), f"{len(rest)} others"]


def _caption_line(mark: str, pairs: Sequence[tuple[str, float]]) -> str:
    if not pairs:
        return ""
    label, probability = pairs[0]
    more = f" +{len(pairs) - 1}" if len(pairs) > 1 else ""
    return f"{mark} {short(label, 18)} {probability:.0%}{more}"


def short(text: str, longest: int = _LONGEST) -> str:
    """Shorten a text to ``longest`` characters in the middle, since names differ at both ends."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def _legend_below(figure: "Figure", axes: "Axes") -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8)


@contextmanager
def picture_file(path: Path | IO[bytes], width: float, height: float) -> Iterator["Figure"]:
    """Open a figure that is saved as PNG when the block ends.

    Args:
        path: of the PNG file, or an open binary file.
        width: in inches.
        height: in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Labels are the user's: a dollar sign in one is no formula.
    style = {"font.family": [fonts.DEFAULT], "text.parse_math": False, "figure.dpi": _DPI}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        fonts.use_fonts(figure)
        with warnings.catch_warnings():  # matplotlib warns of each missing glyph, each time
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(
                path,
                bbox_inches="tight",
                pad_inches=0.08,
                metadata={"Software": None},
                format="png",
            )
