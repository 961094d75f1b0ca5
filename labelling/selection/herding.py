"""Batch selection without a model: points of high value that cover the pool."""

import heapq
from collections.abc import Callable

import numpy as np

_BLOCK = 512
"""Rows computed at a time."""


def spread(
    points: np.ndarray,
    value: np.ndarray,
    covered: np.ndarray,
    size: int,
    *,
    radius: float,
    known: np.ndarray | None = None,
    on_pick: Callable[[int], None] | None = None,
) -> list[int]:
    """Pick ``size`` points that together cover as much value as possible.

    A picked point covers each point by their similarity (a Gaussian of the distance); the covered
    value is Σᵢ valueᵢ · max similarity to a picked or labelled point. Each pick is the one that
    adds most. So the first pick of a cluster of similar, valuable points takes nearly all that the
    others could add, and an isolated point adds only itself. This is Uncertainty Herding (Bae,
    Oliveira and Sutherland, ICLR 2025, https://arxiv.org/abs/2412.20644) with any value in place of
    uncertainty; with equal values it is MaxHerding (Bae, Noh and Sutherland, ECCV 2024,
    https://arxiv.org/abs/2407.12212), which needs no model.

    The gain of a point only falls as more are picked, so it is recomputed only for the leading
    point (Minoux's lazy greedy, 1978).

    Args:
        points: float32 [n, q].
        value: float32 [n], not negative.
        covered: float32 [n] in 0…1, how far the labelled images cover each point already.
        size: picks wanted; all points if there are fewer.
        radius: of the Gaussian, in the unit of ``points``.
        known: bool [n]; a point that is not known is similar only to itself.
        on_pick: called with the number of picks so far.

    Returns:
        Positions, in the order picked.
    """
    alike = _alike(points, radius)
    if known is not None:
        alike[~known], alike[:, ~known] = 0, 0
        covered = np.where(known, covered, 0)
    np.fill_diagonal(alike, 1)
    covered = covered.astype(np.float32)
    heap = [(-gain, i) for i, gain in enumerate(_gains(alike, value, covered))]
    heapq.heapify(heap)
    picked: list[int] = []
    while heap and len(picked) < size:
        _, first = heapq.heappop(heap)
        gain = float(value @ np.maximum(alike[first] - covered, 0))
        if heap and (-gain, first) > heap[0]:
            heapq.heappush(heap, (-gain, first))
            continue
        picked.append(first)
        np.maximum(covered, alike[first], out=covered)
        if on_pick:
            on_pick(len(picked))
    return picked


def likeness(distance: np.ndarray, radius: float) -> np.ndarray:
    """Similarity by distance, a Gaussian: 1 at 0, 0.6 at ``radius``, 0.01 at three times
    ``radius``."""
    found: np.ndarray = np.exp(np.square(distance / radius) / -2)
    return found


def _alike(points: np.ndarray, radius: float) -> np.ndarray:
    """Similarity of every two points: float32 [n, n]."""
    squares = np.square(points).sum(1)
    found: np.ndarray = points @ points.T
    for start in range(0, len(points), _BLOCK):
        part = slice(start, start + _BLOCK)
        apart = squares[part, None] + squares - 2 * found[part]
        found[part] = np.exp(np.maximum(apart, 0) / np.float32(-2 * radius * radius))
    return found


def _gains(alike: np.ndarray, value: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """The covered value that each point would add as the first pick: float [n]."""
    gains = np.empty(len(alike))
    for start in range(0, len(alike), _BLOCK):
        part = slice(start, start + _BLOCK)
        gains[part] = np.maximum(alike[part] - covered, 0) @ value
    return gains
