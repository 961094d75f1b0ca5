"""Reason: no labelled image is similar."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool

_USUAL, _FAR = 0.75, 0.99
"""Quantiles of the distances: up to the first the score is 0, from the second on 1."""


class Novelty:
    """Distance to the nearest labelled image, compared with the rest of the pool.

    It finds what the labels do not cover: a new scene, a broken camera. Many far-away images are
    worthless to label, so its weight should be low.
    """

    name = "novelty"

    def scores(self, pool: "Pool") -> np.ndarray:
        found = np.zeros(len(pool), np.float32)
        if not len(pool.space.labelled) or not pool.space.known.any():
            return found
        usual, far = _quantiles(pool)
        if far > usual:
            found = np.clip((pool.space.to_labelled - usual) / (far - usual), 0, 1)
        return np.where(pool.space.known, found, 0).astype(np.float32)

    def why(self, pool: "Pool", index: int) -> str:
        times = pool.space.to_labelled[index] / max(_median_distance(pool), 1e-6)
        return f"{times:.1f} times the usual distance from the nearest labelled image"


def _quantiles(pool: "Pool") -> tuple[float, float]:
    usual, far = np.quantile(pool.space.to_labelled[pool.space.known], [_USUAL, _FAR])
    return float(usual), float(far)


def _median_distance(pool: "Pool") -> float:
    return float(np.median(pool.space.to_labelled[pool.space.known]))
