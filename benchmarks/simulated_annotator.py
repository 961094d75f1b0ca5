"""An annotator who always tells the truth, and strategies that decide what to ask next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.labelling_probe import Probe, Split, fit
from benchmarks.scenes import Scenes
from labelling.pool import Pool, choose

FOLDS, REPEATS = 7, 2
"""A fold is the test split, another as many images for validation, as in the product."""

START, EXPLORATION = 12, 0.2
BATCH, LATER_BATCH, LATER = 25, 50, 212
"""Batches are bigger once there are ``LATER`` labels."""

READ_EVERY = 100
"""Random order is read this often: it does not depend on the batches."""

Order = Literal["all", "random", "margin", "choose"]

Curve = list[tuple[int, float]]
"""Labels given, and the accuracy on the test split with them."""


@dataclass(frozen=True)
class Strategy:
    """What is asked next, and what for.

    Attributes:
        order: ``all`` labels at once, ``random``, plain ``margin`` sampling, or ``choose``.
        whole: the images of every split are asked for, as the queue does it: margin and choose
            draw their exploration share from all of them at random, and a probe's strength is
            chosen on the validation images that are labelled so far. Otherwise only training
            images are asked for, and the labels of the validation split are given: selection
            alone, as papers compare it.
        most: labels at which to stop.
    """

    order: Order
    whole: bool = False
    most: int = 0


def simulate(scenes_file: Path, strategy: Strategy, number: int) -> Curve:
    """The curve of ``strategy`` in simulation ``number`` of ``FOLDS * REPEATS``. In one
    simulation all strategies have the same splits and the same first labels."""
    from threadpoolctl import threadpool_limits

    with np.load(scenes_file) as arrays, threadpool_limits(1):  # the processes share the cores
        labels = tuple(arrays["labels"].tolist())
        found = Scenes(arrays["sha256"], arrays["features"], arrays["targets"], labels)
        return _Simulation(found, strategy, number).curve()


class _Simulation:
    def __init__(self, scenes: Scenes, strategy: Strategy, number: int) -> None:
        repeat, fold = divmod(number, FOLDS)
        folds = np.empty(len(scenes.targets), int)
        folds[np.random.default_rng(repeat).permutation(len(folds))] = np.arange(len(folds)) % FOLDS
        self._split = np.full(len(folds), "train")
        self._split[folds == fold] = "test"
        self._split[folds == (fold + 1) % FOLDS] = "val"
        self._strategy, self._scenes, self._seed = strategy, scenes, number
        self._truth = Split(scenes.features, scenes.targets)
        asked_for = strategy.whole | (self._split == "train")
        order = np.random.default_rng([number, 1]).permutation(len(folds))
        self._order = order[asked_for[order]]

    def curve(self) -> Curve:
        """Label, fit, ask for the next, until there are enough labels."""
        if self._strategy.order == "all":
            everything = np.arange(len(self._split))
            return [(len(self._order), self._accuracy(self._fitted(everything, 4)))]
        labelled, strength, curve = self._order[:START], 6, []
        while True:
            probe = self._fitted(labelled, strength)
            strength = probe.strength
            curve.append((len(labelled), self._accuracy(probe)))
            if len(labelled) >= self._strategy.most:
                return curve
            labelled = np.concatenate([labelled, self._next(labelled, probe)])

    def _fitted(self, labelled: np.ndarray, strength: int) -> Probe:
        train = labelled[self._split[labelled] == "train"]
        known = labelled if self._strategy.whole else np.arange(len(self._split))
        val = known[self._split[known] == "val"]
        classes = len(self._scenes.labels)
        return fit(self._truth.take(train), self._truth.take(val), classes, strength)

    def _accuracy(self, probe: Probe) -> float:
        return probe.accuracy(self._truth.take(np.flatnonzero(self._split == "test")))

    def _next(self, labelled: np.ndarray, probe: Probe) -> np.ndarray:
        free = self._order[~np.isin(self._order, labelled)]
        if self._strategy.order == "random":
            return free[:READ_EVERY]
        size = BATCH if len(labelled) < LATER else LATER_BATCH
        if self._strategy.order == "margin":
            return self._least_margin(free, probe, size)
        pool = self._pool(free, labelled, probe)
        share = EXPLORATION if self._strategy.whole else 0.0
        chosen = choose(pool, size, exploration_share=share, weights={}, seed=self._seed)
        position = dict(zip(pool.sha256.tolist(), free.tolist(), strict=True))
        return np.array([position[choice.sha256] for choice in chosen])

    def _least_margin(self, free: np.ndarray, probe: Probe, size: int) -> np.ndarray:
        """Margin sampling; beside it, the same share at random as ours."""
        drawn = free[: int(EXPLORATION * size)] if self._strategy.whole else free[:0]
        rest = free[len(drawn) :]
        rest = rest[self._split[rest] == "train"]
        top = np.sort(probe.probabilities(self._scenes.features[rest]), axis=1)
        least = np.argsort(top[:, -1] - top[:, -2], kind="stable")
        return np.concatenate([drawn, rest[least[: size - len(drawn)]]])

    def _pool(self, free: np.ndarray, labelled: np.ndarray, probe: Probe) -> Pool:
        scenes = self._scenes
        train = labelled[self._split[labelled] == "train"]
        counts = np.bincount(scenes.targets[train], minlength=len(scenes.labels)).tolist()
        return Pool(
            sha256=scenes.sha256[free],
            split=self._split[free],
            group=scenes.sha256[free],
            features=scenes.features[free],
            probabilities=probe.probabilities(scenes.features[free]),
            staging_probabilities=None,
            labels=scenes.labels,
            task="single_label",
            labelled_features=scenes.features[train],
            labelled_counts=dict(zip(scenes.labels, counts, strict=True)),
        )
