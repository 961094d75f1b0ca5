"""Reason: the staging and the production model predict differently."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Disagreement:
    """How much the probabilities of the staging and the production model differ.

    The Jensen–Shannon divergence in bits (Lin, "Divergence measures based on the Shannon entropy",
    IEEE Transactions on Information Theory 37, 1991): 0 for equal predictions, 1 for opposite ones.
    With several labels per image, the divergence of the label that differs most.
    """

    name = "disagreement"

    def scores(self, pool: "Pool") -> np.ndarray:
        found = np.zeros(len(pool), np.float32)
        if pool.probabilities is None or pool.staging_probabilities is None:
            return found
        rows = pool.compared
        one, other = pool.probabilities[rows], pool.staging_probabilities[rows]
        if pool.task == "multi_label":
            bits = _divergence(one, other) + _divergence(1 - one, 1 - other)
            found[rows] = bits.max(1, initial=0)
        else:
            found[rows] = _divergence(one, other).sum(1)
        return np.clip(found, 0, 1)

    def why(self, pool: "Pool", index: int) -> str:
        assert pool.probabilities is not None
        assert pool.staging_probabilities is not None
        production, staging = pool.probabilities[index], pool.staging_probabilities[index]
        if pool.task == "multi_label":
            label = int(np.abs(production - staging).argmax())
            first = second = pool.labels[label]
            one, other = production[label], staging[label]
        else:
            a, b = int(production.argmax()), int(staging.argmax())
            first, second, one, other = pool.labels[a], pool.labels[b], production[a], staging[b]
        return f"production says {first} {one:.2f}, staging {second} {other:.2f}"


def _divergence(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The contribution of each outcome to the Jensen–Shannon divergence, in bits."""
    middle = (one + other) / 2
    return (_surprise(one, middle) + _surprise(other, middle)) / 2


def _surprise(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log2(p / q), 0)
