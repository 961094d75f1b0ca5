"""What share of the labelling queue is drawn at random: the labels that each share costs, and how sure the test accuracy is that its labels give."""

import multiprocessing
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assets.policies import SplitPolicy
from benchmarks.annotator_probe import Probe, Split, fitted
from benchmarks.label_efficiency import FOLDS, Curves, divided, labels_needed, share_of
from benchmarks.labelled_sets import LabelledSet, labelled_sets
from benchmarks.labelling_strategies import State, margin
from benchmarks.result import Measurement, Result
from training.curve.refit import STRENGTHS

SHARES = (0.05, 0.1, 0.2, 0.3)
DEFAULT = 0.2
"""The product's (``labelling.exploration_share``)."""

SETS = ("scenes", "digits")
"""Data sets with enough images for a test split among the labels."""

REPEATS = 8
FIRST_A_CLASS = 3
ENOUGH = 0.98
LOOKED_AT = (300, 500)
"""Labels at which the test accuracy is compared with the truth."""

TIMEOUT_S = 3 * 3600.0


@dataclass(frozen=True)
class Arm:
    """A way to fill the queue.

    Attributes:
        share: share of a batch drawn at random from all splits.
        everywhere: whether margin sampling chooses in the validation and test splits, too, which the
            product never does.
    """

    share: float
    everywhere: bool = False


HARD = Arm(DEFAULT, everywhere=True)
ARMS = (*(Arm(share) for share in SHARES), HARD)

Point = tuple[int, float, float, int]
"""Labels in all, accuracy on the images held back, accuracy on the labelled test images, their number."""


def measure(scratch: Path) -> Result:
    """Simulate labelling with true labels; for a seed, all arms have the same splits."""
    measurements, notes = [], []
    for images in labelled_sets(scratch):
        if images.name in SETS:
            found = simulate(images, scratch)
            measurements += _labels(images.name, found)
            measurements += _test_scores(images.name, found)
    notes = [
        "Of each data set a fifth is held back as the truth; the others are dealt to train, "
        "validation and test as in the product. A random draw is from all three, margin sampling "
        "chooses in train only. Validation and test labels count, and teach nothing.",
        "Labels needed: to 98 % of the accuracy with all labels of the training split.",
        "Bias and error of the test accuracy: mean and root mean square of its difference from the "
        "accuracy on the images held back, in points. The latter has an error of its own.",
        "chosen in all splits: what happens if difficult images are labelled in the test split, too.",
        f"{FOLDS} folds, {REPEATS} times; the validation images that set the probe's strength are "
        "given to every arm. Intervals by the bootstrap over the seeds, paired.",
    ]
    return Result(measurements=measurements, peer="a fifth at random, the default", notes=notes)


def simulate(images: LabelledSet, scratch: Path) -> dict[Arm | None, list[list[Point]]]:
    """Simulate every arm under every seed.

    Args:
        images: the data set.
        scratch: folder for a copy of the data set, which the worker processes read.

    Returns:
        The points of each seed, by arm; under ``None`` one point with all labels.
    """
    file = scratch / f"shares-{images.name}.pickle"
    file.write_bytes(pickle.dumps(images))
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one process per core
    spawn = multiprocessing.get_context("spawn")  # BLAS's threads do not survive a fork
    arms = (None, *ARMS)
    seeds = range(FOLDS * REPEATS)
    jobs = [(file, arm, seed) for arm in arms for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count(), spawn) as workers:
        found = list(workers.map(_simulated, jobs, chunksize=4))
    return {
        arm: found[place * len(seeds) : (place + 1) * len(seeds)] for place, arm in enumerate(arms)
    }


def _simulated(job: tuple[Path, Arm | None, int]) -> list[Point]:
    file, arm, seed = job
    return Queue(pickle.loads(file.read_bytes()), seed).points(arm)


class Queue:
    """A labelling queue on one division of a data set.

    Args:
        images: the data set.
        seed: of the division and of all that is random.
    """

    def __init__(self, images: LabelledSet, seed: int) -> None:
        others, self._truth, self._rng = divided(len(images.targets), seed)
        self._images = images
        self._all = Split(images.x, images.targets, len(images.labels))
        self._val, self._pool = others[: images.validation], others[images.validation :]
        shares = SplitPolicy()
        split = self._rng.choice(3, len(self._pool), p=[shares.train, shares.val, shares.test])
        self._split = np.full(len(images.targets), -1)
        self._split[self._pool] = split  # 0 train, 1 validation, 2 test
        self._strength = len(STRENGTHS) // 2

    def points(self, arm: Arm | None) -> list[Point]:
        """Label, fit and choose until ``LabelledSet.most`` labels; ``None``: fit on all labels."""
        if arm is None:
            return [self._point(self._pool)]
        labelled = self._pool[: FIRST_A_CLASS * len(self._images.labels)]
        found = []
        while True:
            found.append(self._point(labelled))
            if found[-1][0] >= min(self._images.most, len(self._pool)):
                return found
            labelled = np.concatenate([labelled, self._batch(arm, labelled)])

    def _point(self, labelled: np.ndarray) -> Point:
        self._probe = self._fit(labelled[self._split[labelled] == 0])
        tests = labelled[self._split[labelled] == 2]
        scored = self._accuracy(tests) if len(tests) else float("nan")
        return len(labelled), self._accuracy(self._truth), scored, len(tests)

    def _batch(self, arm: Arm, labelled: np.ndarray) -> np.ndarray:
        free = self._pool[~np.isin(self._pool, labelled)]
        size = self._images.batch
        drawn = self._rng.permutation(free)[: int(arm.share * size + self._rng.random())]
        rest = free[~np.isin(free, drawn)]
        if not arm.everywhere:
            rest = rest[self._split[rest] == 0]
        state = State(self._images, rest, labelled, self._probe, self._rng)
        return np.concatenate([drawn, margin(state, size - len(drawn))])

    def _fit(self, rows: np.ndarray) -> Probe:
        part = self._all.take(rows)
        probe = fitted(part.x, part.targets, self._all.take(self._val), self._strength)
        self._strength = probe.strength
        return probe

    def _accuracy(self, rows: np.ndarray) -> float:
        part = self._all.take(rows)
        predicted = self._probe.probabilities(part.x, part.classes).argmax(1)
        return float((predicted == part.targets).mean())


def curves_of(points: Sequence[Sequence[Point]]) -> Curves:
    """Return accuracy over labels; all seeds have the same numbers of labels."""
    values = np.array(points)
    return Curves(values[0, :, 0].astype(int), values[:, :, 1])


def errors_at(points: Sequence[Sequence[Point]], labels: int) -> tuple[float, float, float, float]:
    """Compare the test accuracy with the truth, at a number of labels.

    Args:
        points: of each seed.
        labels: the first point with so many is taken.

    Returns:
        Bias, its standard error over the seeds, root mean square error (all in points), and the mean
        number of test images. Seeds without a test image do not count.
    """
    at = np.array([next(one for one in seed if one[0] >= labels) for seed in points])
    difference = 100 * (at[:, 2] - at[:, 1])[at[:, 3] > 0]
    spread = float(difference.std(ddof=1) / np.sqrt(len(difference)))
    rms = float(np.sqrt((difference**2).mean()))
    return float(difference.mean()), spread, rms, float(at[:, 3].mean())


def _labels(name: str, found: dict[Arm | None, list[list[Point]]]) -> list[Measurement]:
    best = float(np.mean([seed[0][1] for seed in found[None]]))
    curves = {share: curves_of(found[Arm(share)]) for share in SHARES}
    default = curves[DEFAULT]
    measurements = []
    for share in SHARES:
        mine = curves[share]
        ratio, low, high = share_of(mine, default, ENOUGH * best)
        labels = labels_needed(mine, ENOUGH * best)
        if np.isnan(labels):
            continue
        measurements.append(
            Measurement(
                what=f"{name}: labels needed with {share:.0%} at random ({ratio:.2f} of those with "
                f"{DEFAULT:.0%}, 95 % interval {low:.2f} to {high:.2f})",
                value=labels,
                unit="labels",
                peer=labels_needed(default, ENOUGH * best),
            )
        )
    return measurements


def _test_scores(name: str, found: dict[Arm | None, list[list[Point]]]) -> list[Measurement]:
    measurements = []
    for labels in LOOKED_AT:
        for arm in ARMS:
            bias, spread, rms, tests = errors_at(found[arm], labels)
            how = f"{arm.share:.0%} at random" + (
                ", the rest chosen in all splits" if arm.everywhere else ""
            )
            measurements.append(
                Measurement(
                    what=f"{name}, {labels} labels, {how}: error of the test accuracy (bias "
                    f"{bias:+.1f} ± {spread:.1f}; {tests:.0f} test images)",
                    value=rms,
                    unit="points",
                )
            )
    return measurements
