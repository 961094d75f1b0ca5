"""Strategies that choose the images to label. The product's is margin sampling with a fifth at random."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.annotator_probe import Probe
from benchmarks.labelled_sets import LabelledSet

DROPOUT, DROPS, DISAGREEING = 0.75, 3, 0.5
"""Of DropQuery, as in its paper: rate of dropout, predictions an image, and the share of them that
differ from the prediction without dropout, from which on an image is a candidate."""


@dataclass(frozen=True)
class State:
    """What a strategy knows when it chooses.

    Attributes:
        images: the data set.
        free: int64 [n], unlabelled images of the training split.
        labelled: int64 [m], labelled images of the training split.
        probe: fitted on ``labelled``.
        rng: random generator.
    """

    images: LabelledSet
    free: np.ndarray
    labelled: np.ndarray
    probe: Probe
    rng: np.random.Generator

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Predict ``rows``: float32 [n, classes]."""
        return self.probe.probabilities(self.images.x[rows], len(self.images.labels))


Choose = Callable[[State, int], np.ndarray]
"""A state and a number of images → the rows of the images chosen."""


def at_random(state: State, count: int) -> np.ndarray:
    """Choose at random."""
    return state.rng.permutation(state.free)[:count]


def margin(state: State, count: int) -> np.ndarray:
    """Choose the images whose two highest probabilities are closest (Scheffer and others, 2001)."""
    top = np.sort(state.probabilities(state.free), axis=1)
    return state.free[np.argsort(top[:, -1] - top[:, -2], kind="stable")[:count]]


def drop_query(state: State, count: int) -> np.ndarray:
    """Choose by DropQuery (Gupte and others, arXiv 2401.14555): of the images whose prediction
    changes under dropout of features, those nearest to the centres of ``count`` k-means clusters."""
    x, classes = state.images.x[state.free], len(state.images.labels)
    plain = state.probe.probabilities(x, classes).argmax(1)
    changed = np.zeros(len(x))
    for _ in range(DROPS):
        kept = state.rng.random(x.shape) >= DROPOUT
        dropped = (x * kept / (1 - DROPOUT)).astype(np.float32)
        changed += state.probe.probabilities(dropped, classes).argmax(1) != plain
    candidates = state.free[changed / DROPS > DISAGREEING]
    if len(candidates) < count:  # the paper does not say; the most changed ones are nearest to it
        candidates = state.free[np.argsort(-changed, kind="stable")[:count]]
    return centroids(state.images, candidates, count, state.rng)


def centroids(
    images: LabelledSet, rows: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose the images nearest to the centres of ``count`` k-means clusters of ``rows``.

    Args:
        images: the data set.
        rows: int64 [n], images to choose from.
        count: images to choose.
        rng: random generator.
    """
    from sklearn.cluster import KMeans

    if len(rows) <= count:
        return rows
    features = images.features[rows]
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    means = KMeans(count, n_init=1, random_state=int(rng.integers(2**31))).fit(features)
    distance = means.transform(features)
    chosen: list[int] = []
    for cluster in range(count):
        for row in np.argsort(distance[:, cluster], kind="stable"):
            if row not in chosen:
                chosen.append(int(row))
                break
    return rows[chosen]


@dataclass(frozen=True)
class Strategy:
    """A way to choose what is labelled.

    Attributes:
        name: for the table.
        choose: the images of a batch that are not drawn at random.
        random_share: share of each batch drawn at random, 0 to 1.
        starts_with_centroids: whether the first labels go to k-means centroids, not to images at
            random.
    """

    name: str
    choose: Choose
    random_share: float = 0.0
    starts_with_centroids: bool = False


RANDOM = Strategy("random order", at_random)
MARGIN = Strategy("margin", margin)
MARGIN_FIFTH = Strategy("margin, a fifth at random", margin, 0.2)
MARGIN_CENTROIDS = Strategy("margin, a fifth at random, centroids first", margin, 0.2, True)
DROP_QUERY = Strategy("DropQuery, a fifth at random, centroids first", drop_query, 0.2, True)
STRATEGIES = (
    RANDOM,
    MARGIN,
    MARGIN_FIFTH,
    MARGIN_CENTROIDS,
    DROP_QUERY,
)
