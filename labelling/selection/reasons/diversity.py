"""Its like is not labelled yet."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Diversity:
    """How few of an image's cluster are labelled, and how typical of the cluster it is.

    Needs no model's opinion, so it starts the line: with few labels, typical images of different
    clusters teach more than those a model is unsure of (TypiClust: Hacohen, Dekel and Weinshall,
    "Active Learning on a Budget", ICML 2022, https://arxiv.org/abs/2202.02794).
    """

    name = "diversity"

    def scores(self, pool: "Pool") -> np.ndarray:
        clusters = pool.space.clusters
        found = np.zeros(len(pool), np.float32)
        rows = np.flatnonzero(clusters.member >= 0)
        member = clusters.member[rows]
        found[rows] = _lack(pool)[member] * (1 + clusters.centrality[rows]) / 2
        return found

    def why(self, pool: "Pool", index: int) -> str:
        clusters = pool.space.clusters
        member = clusters.member[index]
        labelled = int(clusters.labelled[member])
        like = "one image is" if clusters.size[member] == 1 else f"{clusters.size[member]} are"
        return f"{like} like it, and {labelled or 'none'} of their kind labelled"


def _lack(pool: "Pool") -> np.ndarray:
    """By cluster, how far its labelled images fall short of its share: 1 if there are none, 1/2 if
    they are what its size makes one expect."""
    clusters = pool.space.clusters
    share = clusters.size / max(1, clusters.size.sum())
    expected = np.maximum(share * clusters.labelled.sum(), 1e-6)
    return expected / (expected + clusters.labelled)
