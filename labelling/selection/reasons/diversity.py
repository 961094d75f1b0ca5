"""Reason: few similar images are labelled."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Diversity:
    """How few images of the image's cluster are labelled, and how typical of the cluster it is.

    It needs no model, so it works from the start: with few labels, typical images of different
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
    """For each cluster, how few of its images are labelled: 1 if none are, 1/2 if as many as its
    size suggests."""
    clusters = pool.space.clusters
    share = clusters.size / max(1, clusters.size.sum())
    expected = np.maximum(share * clusters.labelled.sum(), 1e-6)
    return expected / (expected + clusters.labelled)
