"""A map of images by their features: images that are near have similar features."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from training.evaluation.plots import picture_file, short

MOST_POINTS = 2000
MOST_COLOURS = 10
_DIRECTIONS, _ITERATIONS = 6, 6
_COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2"),
    *("#b07aa1", "#9c755f", "#edc948", "#ff9da7", "#8c8c3c"),
)
_UNLABELLED, _OTHER = "#d3d7db", "#888888"


def draw_pool_map(
    features: np.ndarray, labels: Sequence[str | None], chosen: np.ndarray, title: str
) -> bytes:
    """Draw the images' first two principal components as a PNG.

    Args:
        features: float32 [n, d]; of more than 2,000 images a sample is drawn, chosen ones first.
        labels: of each image; ``None`` for an image without label.
        chosen: bool [n]; these are circled.
        title: of the picture.

    Returns:
        The PNG's bytes.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(features) < 2:
        raise ValueError("a map needs at least two images")
    rows = _drawn(chosen)
    points = _plane(features[rows])
    named = [labels[row] for row in rows]
    return _picture(points, named, chosen[rows], title)


def _drawn(chosen: np.ndarray) -> np.ndarray:
    """Return the positions of the images to draw; the same for the same input."""
    order = np.random.default_rng(0).permutation(len(chosen))
    return order[np.argsort(~chosen[order], kind="stable")][:MOST_POINTS]


def _plane(features: np.ndarray) -> np.ndarray:
    """Return the first two principal components of features at unit length: float32 [n, 2]."""
    # By subspace iteration (Halko, Martinsson and Tropp, https://arxiv.org/abs/0909.4061): an exact
    # decomposition of 1,280 dimensions takes seconds.
    length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    centred = features / length
    centred -= centred.mean(0)
    width = min(_DIRECTIONS, *features.shape)
    directions = np.random.default_rng(0).normal(size=(features.shape[1], width))
    for _ in range(_ITERATIONS):
        directions = np.linalg.qr(centred.T @ (centred @ directions))[0]
    turned, spread, _ = np.linalg.svd(centred @ directions, full_matrices=False)
    points: np.ndarray = (turned * spread)[:, :2]
    return points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])


def _picture(
    points: np.ndarray, labels: Sequence[str | None], chosen: np.ndarray, title: str
) -> bytes:
    sink = io.BytesIO()
    with picture_file(sink, 7, 4.6) as figure:
        axes = figure.add_subplot()
        for of_it, colour, name in _kinds(labels):
            x, y = points[of_it].T
            size = 7 if colour == _UNLABELLED else 12
            axes.scatter(x, y, s=size, c=colour, linewidths=0, label=name)
        if chosen.any():
            x, y = points[chosen].T
            ring = axes.scatter(x, y, s=34, linewidths=0.9, label="chosen")
            ring.set(facecolors="none", edgecolors="black")
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
        figure.legend(loc="outside right upper", frameon=False, fontsize=8, markerscale=1.3)
    return sink.getvalue()


def _kinds(labels: Sequence[str | None]) -> Iterator[tuple[np.ndarray, str, str]]:
    """Yield groups of images: mask (bool [n]), colour and text of the legend."""
    counts = Counter(label for label in labels if label is not None)
    named = [label for label, _ in counts.most_common(MOST_COLOURS)]
    of_each = np.array([label if label in named else None for label in labels], dtype=object)
    unlabelled = np.array([label is None for label in labels])
    shown = [(unlabelled, _UNLABELLED, "not labelled")]
    # With a zero-width space before it: matplotlib hides names that begin with a _.
    shown += [
        (of_each == label, _COLOURS[number], f"\u200b{short(label)}")
        for number, label in enumerate(named)
    ]
    others = ~unlabelled & np.array([label is None for label in of_each])
    shown.append((others, _OTHER, "other labels"))
    return (kind for kind in shown if kind[0].any())
