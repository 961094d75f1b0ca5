"""The feature space of a pool: dimension reduction, distances, clusters."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

DIMENSIONS = 64
"""Dimensions of the space. Features of networks vary in few directions; the rest is noise, and a
distance in 1,280 dimensions costs twenty times as much."""

IMAGES_A_CLUSTER = 20
MOST_CLUSTERS = 500
"""As in TypiClust: no cluster of less than a few images, and no more than 500 clusters."""

_SAMPLE = 4096
"""Images sampled to find principal directions and cluster centres, so that their cost does not grow
with the pool."""

_CHUNK_FLOATS = 1 << 21
"""Floats in the largest intermediate array (8 MB, which fits the cache)."""

_SEED = 2_202_027
"""A fixed seed: the same pool always gives the same points."""


@dataclass(frozen=True, eq=False)
class Space:
    """Images as points: features scaled to unit length, centred, projected on principal directions.

    Attributes:
        points: float32 [n, q], q ≤ ``DIMENSIONS``; zeros where features are not known.
        known: bool [n]: the features are finite and not all zero.
        labelled: float32 [m, q], the labelled images whose features are known.
        labelled_known: bool [all labelled images]: which these are.
    """

    points: np.ndarray
    known: np.ndarray
    labelled: np.ndarray
    labelled_known: np.ndarray

    @cached_property
    def to_labelled(self) -> np.ndarray:
        """Distance to the nearest labelled image: float32 [n]; infinite if there is none."""
        return nearest(self.points, self.labelled)[0]

    @cached_property
    def radius(self) -> float:
        """The distance within which the label of one image is informative about another's.

        Half the median distance of an image to the nearest labelled one, so it falls as labels are
        added. Without labels, the median distance between two images, so that the first batch
        covers the pool.
        """
        points = self.points[self.known]
        if not len(points):
            return 1.0
        if len(self.labelled):
            radius = np.median(self.to_labelled[self.known]) / 2
        else:
            radius = np.median(np.linalg.norm(points - points[::-1], axis=1))
        return max(float(radius), 1e-3)

    @cached_property
    def clusters(self) -> "Clusters":
        """The clusters of the images, with their numbers of labelled images."""
        return _clusters(self)


@dataclass(frozen=True, eq=False)
class Clusters:
    """k-means clusters of the images whose features are known.

    Attributes:
        member: int64 [n], the cluster of each image; -1 where features are not known.
        centrality: float32 [n]: 1 for the image nearest to its cluster's centre, falling linearly
            with the rank to 0 for the farthest; 0 where features are not known.
        size: int64 [clusters], images in each.
        labelled: int64 [clusters], labelled images nearest to its centre.
    """

    member: np.ndarray
    centrality: np.ndarray
    size: np.ndarray
    labelled: np.ndarray


def space(features: np.ndarray, labelled: np.ndarray) -> Space:
    """Compute the space of a pool.

    Args:
        features: float32 [n, d]; rows that are not finite, or all zero, are not known.
        labelled: float32 [m, d]; rows that are not known are left out.
    """
    length, labelled_length = _lengths(features), _lengths(labelled)
    known = np.isfinite(length) & (length > 0)
    sample = _sample(known)
    if not len(sample):
        nowhere = np.zeros((len(features), 1), np.float32)
        return Space(nowhere, known, nowhere[:0], np.zeros(len(labelled), bool))
    mean, basis = _main_directions(features[sample] / length[sample, None])
    there = np.isfinite(labelled_length) & (labelled_length > 0)
    return Space(
        _placed(features, length, known, mean, basis),
        known,
        _placed(labelled, labelled_length, there, mean, basis)[there],
        there,
    )


def nearest(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of ``others`` to each point.

    Args:
        points: float32 [n, q].
        others: float32 [m, q].

    Returns:
        Its distance, float32 [n] (infinite if there are no others), and its position, int64 [n] (-1
        if there are none).
    """
    distance = np.full(len(points), np.inf, np.float32)
    position = np.full(len(points), -1, np.int64)
    if not len(others):
        return distance, position
    half = np.square(others).sum(1) / 2
    for part in _parts(len(points), len(others)):
        close = points[part] @ others.T - half  # largest for the nearest
        best = close.argmax(1)
        squares = np.square(points[part] - others[best]).sum(1)  # exact for small distances
        position[part], distance[part] = best, np.sqrt(squares)
    return distance, position


def _clusters(space: Space) -> Clusters:
    from sklearn.cluster import KMeans

    member = np.full(len(space.points), -1, np.int64)
    centrality = np.zeros(len(space.points), np.float32)
    rows = np.flatnonzero(space.known)
    if not len(rows):
        return Clusters(member, centrality, np.zeros(0, np.int64), np.zeros(0, np.int64))
    sample = space.points[_sample(space.known)]
    count = max(1, min(MOST_CLUSTERS, len(sample) // IMAGES_A_CLUSTER))
    count = min(count, len(np.unique(sample, axis=0)))
    means = KMeans(count, n_init=1, max_iter=30, random_state=_SEED).fit(sample)
    centres = means.cluster_centers_.astype(np.float32)
    distance, member[rows] = nearest(space.points[rows], centres)
    size = np.bincount(member[rows], minlength=count)
    centrality[rows] = _from_near_to_far(member[rows], distance, size)
    labelled = np.bincount(nearest(space.labelled, centres)[1], minlength=count)
    return Clusters(member, centrality, size, labelled)


def _from_near_to_far(member: np.ndarray, distance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """1 for the nearest image of each cluster, falling linearly with the rank to 0: float32 [n]."""
    order = np.lexsort((distance, member))
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    place = np.empty(len(member))
    place[order] = np.arange(len(member)) - np.repeat(first, size)
    return (1 - place / np.maximum(size[member] - 1, 1)).astype(np.float32)


def _main_directions(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean, float32 [d], and the principal directions, float32 [d, q], of points [s, d]."""
    from sklearn.utils.extmath import randomized_svd

    mean = sample.mean(0)
    count = min(DIMENSIONS, *sample.shape)
    _, _, directions = randomized_svd(sample - mean, count, random_state=_SEED)
    return mean, np.ascontiguousarray(directions.T, np.float32)


def _placed(
    features: np.ndarray,
    length: np.ndarray,
    known: np.ndarray,
    mean: np.ndarray,
    basis: np.ndarray,
) -> np.ndarray:
    """Project ``features`` on ``basis``: float32 [n, q]; zeros where they are not known."""
    points = np.zeros((len(features), basis.shape[1]), np.float32)
    for part in _parts(len(features), features.shape[1]):
        rows = known[part]
        scale = length[part][rows, None]
        points[part][rows] = features[part][rows] @ basis / scale - mean @ basis
    return points


def _lengths(features: np.ndarray) -> np.ndarray:
    """Length of each row: float32 [n]."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.einsum("ij,ij->i", features, features))


def _sample(known: np.ndarray) -> np.ndarray:
    """Positions of up to ``_SAMPLE`` known rows, ascending."""
    rows = np.flatnonzero(known)
    if len(rows) <= _SAMPLE:
        return rows
    return np.sort(np.random.default_rng(_SEED).choice(rows, _SAMPLE, replace=False))


def _parts(rows: int, width: int) -> Iterator[slice]:
    """Slices of up to ``_CHUNK_FLOATS`` floats."""
    step = max(1, _CHUNK_FLOATS // max(1, width))
    return (slice(start, start + step) for start in range(0, rows, step))
