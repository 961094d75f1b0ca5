"""A map of images by their features: what lies near is alike to the net."""

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np

MOST_POINTS = 4000
MOST_COLOURS = 10
_COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2"),
    *("#b07aa1", "#9c755f", "#edc948", "#ff9da7", "#8c8c3c"),
)
_UNLABELLED, _OTHER = "#d3d7db", "#888888"


def draw_pool_map(
    features: np.ndarray, labels: Sequence[str | None], chosen: np.ndarray, title: str
) -> bytes:
    """A PNG of the two main directions that features differ in.

    Args:
        features: float32 [n, d]; of more than 4,000 some are drawn, chosen ones first.
        labels: of each image; ``None``: it has none.
        chosen: bool [n]; these are circled.
        title: above it.

    Raises:
        ValueError: there are not even two images.
    """
    if len(features) < 2:
        raise ValueError("a map needs at least two images")
    rows = _drawn(chosen)
    points = _plane(features[rows])
    named = [labels[row] for row in rows]
    return _picture(points, named, chosen[rows], title)


def _drawn(chosen: np.ndarray) -> np.ndarray:
    """Positions of the images that are drawn: the same for the same images."""
    order = np.random.default_rng(0).permutation(len(chosen))
    return order[np.argsort(~chosen[order], kind="stable")][:MOST_POINTS]


def _plane(features: np.ndarray) -> np.ndarray:
    """Features at unit length, along their two main directions (PCA): float32 [n, 2]."""
    length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    centred = features / length
    centred -= centred.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    points: np.ndarray = centred @ directions[:, : -min(2, features.shape[1]) - 1 : -1]
    return points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])


def _picture(
    points: np.ndarray, labels: Sequence[str | None], chosen: np.ndarray, title: str
) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = Counter(label for label in labels if label is not None)
    named = [label for label, _ in counts.most_common(MOST_COLOURS)]
    kinds: list[tuple[str | None, str, str]] = [(None, _UNLABELLED, "not labelled")]
    kinds += [(label, _COLOURS[i], label) for i, label in enumerate(named)]
    figure = Figure(figsize=(7, 4.6), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    place = np.array([named.index(x) if x in named else -1 - (x is None) for x in labels])
    for label, colour, name in [*kinds, ("", _OTHER, "other labels")]:
        code = -2 if label is None else -1 if label == "" else named.index(label)
        of_it = points[place == code]
        if len(of_it):
            size = 7 if label is None else 12
            axes.scatter(
                of_it[:, 0], of_it[:, 1], s=size, c=colour, linewidths=0, label=_plain(name)
            )
    if chosen.any():
        x, y = points[chosen].T
        axes.scatter(
            x, y, s=34, label="chosen", facecolors="none", edgecolors="black", linewidths=0.9
        )
    axes.set_title(_plain(title), fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#cccccc")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, markerscale=1.3)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def _plain(text: str) -> str:
    """Short, and no formula: a label may hold a dollar sign; nor hidden, as with a leading _."""
    shown = text if len(text) <= 24 else f"{text[:15]}…{text[-8:]}"
    return "\u200b" + shown.replace("$", r"\$")
