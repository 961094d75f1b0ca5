"""Selection of one batch: corrections and conflicts, a random share, and the highest-scoring
rest."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from labelling.selection.design import (
    Design,
    design,
    information,
    logit_variance,
    reduce_variance,
)
from labelling.selection.geometry import nearest
from labelling.selection.herding import likeness, spread
from labelling.selection.mix import REASONS
from labelling.selection.pool import TRAIN, Choice, Pool
from labelling.selection.reasons.uncertainty import closeness
from labelling.selection.reviews import reviews

_SHORTLIST = 8_000
"""Candidates considered at a time: their similarity matrix takes 256 MB."""

_PICKS = _SHORTLIST // 4
"""The most picks from one shortlist, so that enough candidates remain to choose from."""

_HEAD = 0.001
"""Corrections and conflicts have priorities below it, and so come before the tasks of other batches
in Label Studio, of which only the first ones are lower."""

_SPEAKS = 0.05
"""The lowest score at which a reason is mentioned."""


class BatchSelection:
    """Select one batch; ``labelling.selection.choose.choose`` describes what it contains.

    Args:
        pool: the candidates, and what is known of them.
        size: images in the batch.
        exploration_share: share of the batch that is drawn at random, 0 to 1.
        weights: weight of each reason in the score, by name.
        seed: of the random generator.
        doubts: corrections and conflicts to choose, if there are so many, however small ``size``
            is.
        progress: called with the number of images picked and ``size``.

    Raises:
        ValueError: ``exploration_share`` is not from 0 to 1.
    """

    def __init__(
        self,
        pool: Pool,
        size: int,
        exploration_share: float,
        weights: Mapping[str, float],
        seed: int,
        doubts: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        if not 0 <= exploration_share <= 1:
            raise ValueError(f"exploration_share is {exploration_share:g}; it is from 0 to 1")
        self._pool = pool
        self._size = max(0, size)
        self._doubts = doubts
        self._share = exploration_share
        self._weights = {name: weight for name, weight in weights.items() if weight}
        self._rng = np.random.default_rng(seed)
        self._progress = progress
        groups, self._group = np.unique(pool.group, return_inverse=True)
        self._closed = np.isin(groups, list(pool.labelled_groups))
        self._rows: list[int] = []
        """Rows of the pool that were chosen so far."""

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
        """Mark ``rows`` as chosen, and exclude their groups from further choices."""
        self._closed[self._group[rows]] = True
        self._rows += rows.tolist()

    def _explored(self, count: int, *, everywhere: bool) -> list[Choice]:
        """Draw ``count`` images at random, each group with the same probability."""
        free = ~self._closed[self._group]
        if not everywhere:
            free &= self._pool.split == TRAIN
        rows = self._rng.permutation(np.flatnonzero(free))
        _, first = np.unique(self._group[rows], return_index=True)  # one random image of each group
        picked = rows[self._rng.permutation(first)[:count]]
        self._close(picked)
        return [self._choice(row, {"exploration": 1.0}, 0.0) for row in picked.tolist()]

    def _best(self, count: int) -> list[Choice]:
        """Pick ``count`` images of the training split by the weighted reasons, and spread out."""
        if count <= 0:
            return []
        pool = self._pool
        scores = {name: REASONS[name].scores(pool) for name in self._weights}
        value = np.zeros(len(pool), np.float32)
        for name, weight in self._weights.items():
            value += scores[name] * np.float32(weight / sum(self._weights.values()))
        if pool.predicted.any():
            spread_out, worth = self._designed, self._raised(scores, value)
        else:  # squared, so that one image of full value beats a cluster of half-valued ones
            spread_out, worth = self._spread, np.square(value)
        picked: list[int] = []
        while len(picked) < count:
            rows = self._shortlist(value)
            size = min(count - len(picked), _PICKS)
            more = spread_out(rows, worth, size, len(picked)) if len(rows) else []
            if not more:
                break
            self._close(np.array(more))
            picked += more
        return [
            self._choice(
                row,
                {name: float(scores[name][row]) for name in self._weights},
                float(value[row]),
            )
            for row in picked
        ]

    def _shortlist(self, value: np.ndarray) -> np.ndarray:
        """The rows of the training split with the highest value, one per group."""
        pool = self._pool
        free = ~self._closed[self._group] & (pool.split == TRAIN) & (value > 0)
        rows = self._rng.permutation(np.flatnonzero(free))  # so that ties are broken at random
        rows = rows[np.argsort(-value[rows], kind="stable")]
        _, first = np.unique(self._group[rows], return_index=True)
        return rows[np.sort(first)[:_SHORTLIST]]

    def _raised(self, scores: Mapping[str, np.ndarray], value: np.ndarray) -> np.ndarray:
        """Weight of each image in the design: float32 [n]. Uncertainty enters the design
        separately, so here it adds its full weight to every image; the other reasons raise the
        weight."""
        weight = value * np.float32(sum(self._weights.values()))
        if "uncertainty" in scores:
            weight += np.float32(self._weights["uncertainty"]) * (1 - scores["uncertainty"])
        return weight

    def _designed(self, rows: np.ndarray, weight: np.ndarray, count: int, done: int) -> list[int]:
        """Pick ``count`` of ``rows`` that most reduce the variance of the undecided logits;
        ``done`` were picked before."""
        space = self._pool.space
        known, close = _information(self._pool)
        places = reduce_variance(
            _design(self._pool, known, self._already()),
            space.points[rows],
            close[rows] * weight[rows],
            known[rows],
            count,
            known=space.known[rows],
            on_pick=self._reporter(done),
        )
        return rows[places].tolist()

    def _spread(self, rows: np.ndarray, weight: np.ndarray, count: int, done: int) -> list[int]:
        """Pick ``count`` of ``rows`` that are far from labelled and chosen images; ``done`` were
        picked before."""
        space = self._pool.space
        already = np.concatenate([space.labelled, space.points[self._already()]])
        covered = likeness(nearest(space.points[rows], already)[0], space.radius)
        places = spread(
            space.points[rows],
            weight[rows],
            covered,
            count,
            radius=space.radius,
            known=space.known[rows],
            on_pick=self._reporter(done),
        )
        return rows[places].tolist()

    def _reporter(self, done: int) -> Callable[[int], None]:
        def report(number: int) -> None:
            if self._progress:
                self._progress(done + number, self._size)

        return report

    def _already(self) -> list[int]:
        """The chosen rows whose features are known."""
        return [row for row in self._rows if self._pool.space.known[row]]

    def _choice(self, row: int, scores: Mapping[str, float], value: float) -> Choice:
        weights = self._weights | {"exploration": 1.0}
        strong = [name for name in scores if scores[name] >= _SPEAKS]
        strong = sorted(strong or scores, key=lambda name: -scores[name] * weights[name])
        first, *others = strong
        why = [REASONS[first].why(self._pool, row)]
        if others and scores[others[0]] * weights[others[0]] >= scores[first] * weights[first] / 2:
            why.append(REASONS[others[0]].why(self._pool, row))
        return Choice(
            sha256=str(self._pool.sha256[row]),
            reason=first,
            score=value,
            why="; ".join(why),
            priority=0.0,
            reasons={name: round(scores[name], 3) for name in strong},
        )


def _information(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """The information of each image's label, and the closeness of the decision on it: float32 [n]
    each.

    Uses the mean prediction where both models have predicted; images without a prediction get the
    mean over the others.
    """
    assert pool.probabilities is not None
    probabilities = pool.probabilities
    if pool.staging_probabilities is not None:
        probabilities = probabilities.copy()
        both = pool.compared
        probabilities[both] = (probabilities[both] + pool.staging_probabilities[both]) / 2
    probabilities = probabilities[pool.predicted]
    found = np.empty((2, len(pool)), np.float32)
    for row, known in zip(
        found, (information(probabilities), closeness(probabilities, pool)), strict=True
    ):
        row[:] = known.mean()
        row[pool.predicted] = known
    return found[0], found[1]


def _design(pool: Pool, gained: np.ndarray, chosen: list[int]) -> Design:
    """The design given the existing labels and those of ``chosen``. A labelled image without a
    prediction counts with the pool's mean information."""
    assert pool.probabilities is not None
    seen = np.full(len(pool.labelled_features), gained.mean(), np.float32)
    if pool.labelled_probabilities is not None:
        known = pool.labelled_predicted
        seen[known] = information(pool.labelled_probabilities[known])
    space = pool.space
    return design(
        space.points[space.known],
        np.concatenate([space.labelled, space.points[chosen]]),
        np.concatenate([seen[space.labelled_known], gained[chosen]]),
        logit_variance(pool.probabilities[pool.predicted]),
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
