"""From scores to a batch: what is worth labelling, and not the same thing many times."""

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
    """Pick ``size`` points that together cover as much value as they can.

    A picked point covers each point as far as it is like it (a Gaussian of their distance); the
    value covered is Σᵢ valueᵢ · max over the picked and labelled of likeness. Each pick is the
    one that adds most: so the first of a heap of like, valuable points takes nearly all that the
    others have to give, and a lone one gives only itself. This is Uncertainty Herding (Bae,
    Oliveira and Sutherland, ICLR 2025, https://arxiv.org/abs/2412.20644) with any value in the
    place of uncertainty; where all values are equal it is MaxHerding (Bae, Noh and Sutherland,
    ECCV 2024, https://arxiv.org/abs/2407.12212), which needs no model.

    What is added only falls as more is picked, so it is computed again only for the point that
    leads (Minoux's lazy greedy, 1978).

    Args:
        points: float32 [n, q].
        value: float32 [n], not negative.
        covered: float32 [n] in 0…1, how far the labelled images cover each point already.
        size: picks wanted; all points if there are fewer.
        radius: the Gaussian's, in the unit of ``points``.
        known: bool [n]; a point that is not known is like none but itself.
        on_pick: told how many are picked.

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
    """The Gaussian of distances: 1 at none, 0.6 at ``radius``, 0.01 at three times that."""
    found: np.ndarray = np.exp(np.square(distance / radius) / -2)
    return found


def _alike(points: np.ndarray, radius: float) -> np.ndarray:
    """Likeness of every two points: float32 [n, n]."""
    squares = np.square(points).sum(1)
    found: np.ndarray = points @ points.T
    for start in range(0, len(points), _BLOCK):
        part = slice(start, start + _BLOCK)
        apart = squares[part, None] + squares - 2 * found[part]
        found[part] = np.exp(np.maximum(apart, 0) / np.float32(-2 * radius * radius))
    return found


def _gains(alike: np.ndarray, value: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """What picking each point first would add: [n]."""
    gains = np.empty(len(alike))
    for start in range(0, len(alike), _BLOCK):
        part = slice(start, start + _BLOCK)
        gains[part] = np.maximum(alike[part] - covered, 0) @ value
    return gains
