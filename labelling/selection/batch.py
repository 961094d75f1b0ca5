"""Selection of one batch: corrections and conflicts, a random share, and the images of which the model is
least sure."""

from dataclasses import replace

import numpy as np

from labelling.selection.mix import REASONS
from labelling.selection.pool import TRAIN, Choice, Pool
from labelling.selection.reasons.exploration import Exploration
from labelling.selection.reasons.uncertainty import Uncertainty
from labelling.selection.reviews import reviews

_HEAD = 0.001
"""Corrections and conflicts have priorities below it, and so come before the tasks of other batches
in Label Studio, of which only the first ones are lower."""


class BatchSelection:
    """Select one batch; ``labelling.selection.choose.choose`` describes what it contains.

    Args:
        pool: the candidates, and what is known of them.
        size: images in the batch.
        exploration_share: share of the batch that is drawn at random, 0 to 1.
        seed: of the random generator.
        doubts: corrections and conflicts to choose, if there are so many, however small ``size``
            is.

    Raises:
        ValueError: ``exploration_share`` is not from 0 to 1.
    """

    def __init__(
        self, pool: Pool, size: int, exploration_share: float, seed: int, doubts: int
    ) -> None:
        if not 0 <= exploration_share <= 1:
            raise ValueError(f"exploration_share is {exploration_share:g}; it is from 0 to 1")
        self._pool = pool
        self._size = max(0, size)
        self._doubts = doubts
        self._share = exploration_share
        self._rng = np.random.default_rng(seed)
        groups, self._group = np.unique(pool.group, return_inverse=True)
        self._closed = np.isin(groups, list(pool.labelled_groups))

    def fill(self) -> list[Choice]:
        """Select the batch; the choices in the order of their priority."""
        wrong = reviews(self._pool)
        known = np.isin(self._pool.sha256, [choice.sha256 for choice in wrong])
        self._close(np.flatnonzero(known))
        # Rounded at random, so that small batches have the right share on average.
        share = int(self._share * self._size + self._rng.random())
        chance = self._explored(share, everywhere=True)
        half = (self._size - len(chance) + 1) // 2
        best = self._best(self._size - len(chance) - len(wrong[:half]))
        room = self._size - len(chance) - len(best)
        wrong = wrong[: max(room, self._doubts)]
        chance += self._explored(max(0, room - len(wrong)), everywhere=self._share > 0)
        return _in_order(wrong, _interleaved(best, chance))

    def _close(self, rows: np.ndarray) -> None:
        """Exclude the groups of ``rows`` from further choices."""
        self._closed[self._group[rows]] = True

    def _explored(self, count: int, *, everywhere: bool) -> list[Choice]:
        """Draw ``count`` images at random, each group with the same probability."""
        free = ~self._closed[self._group]
        if not everywhere:
            free &= self._pool.split == TRAIN
        rows = self._rng.permutation(np.flatnonzero(free))
        _, first = np.unique(self._group[rows], return_index=True)  # one random image of each group
        picked = rows[self._rng.permutation(first)[:count]]
        self._close(picked)
        return [self._choice(row, Exploration.name, 0.0) for row in picked.tolist()]

    def _best(self, count: int) -> list[Choice]:
        """Pick ``count`` images of the training split of which the model is least sure."""
        pool = self._pool
        if count <= 0 or (pool.task == "single_label" and len(pool.labels) < 2):
            return []
        unsure = Uncertainty().scores(pool)
        free = ~self._closed[self._group] & (pool.split == TRAIN) & pool.predicted
        rows = self._rng.permutation(np.flatnonzero(free))  # so that ties are broken at random
        rows = rows[np.argsort(-unsure[rows], kind="stable")]
        _, first = np.unique(self._group[rows], return_index=True)  # one image of each group
        picked = rows[np.sort(first)[:count]]
        self._close(picked)
        return [self._choice(row, Uncertainty.name, float(unsure[row])) for row in picked.tolist()]

    def _choice(self, row: int, reason: str, score: float) -> Choice:
        return Choice(
            sha256=str(self._pool.sha256[row]),
            reason=reason,
            score=score,
            why=REASONS[reason].why(self._pool, row),
            priority=0.0,
            reasons={reason: round(score, 3) if reason == Uncertainty.name else 1.0},
        )


def _in_order(wrong: list[Choice], rest: list[Choice]) -> list[Choice]:
    """All choices with their priorities: those of ``wrong`` are lower than all others, also of
    other batches."""
    count = len(wrong) + len(rest)
    step = min(_HEAD / max(1, len(wrong)), 1 / max(1, count))
    return [
        *(replace(choice, priority=step * i) for i, choice in enumerate(wrong)),
        *(replace(choice, priority=i / count) for i, choice in enumerate(rest, start=len(wrong))),
    ]


def _interleaved(best: list[Choice], chance: list[Choice]) -> list[Choice]:
    """Merge both lists evenly, each in its order."""
    # Random images must not all be at the end, which annotators may never reach.
    places = [
        ((i + 0.5) / len(part), choice) for part in (best, chance) for i, choice in enumerate(part)
    ]
    return [choice for _, choice in sorted(places, key=lambda item: item[0])]
