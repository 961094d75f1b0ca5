"""Labels until a model is nearly as good as with all of them: margin sampling (the product's choice, with
a fifth at random), DropQuery, random order."""

import multiprocessing
import os
import pickle
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.annotator_probe import Probe, Split, fitted
from benchmarks.labelled_sets import LabelledSet, labelled_sets
from benchmarks.labelling_strategies import (
    DROP_QUERY,
    MARGIN,
    MARGIN_CENTROIDS,
    MARGIN_FIFTH,
    RANDOM,
    STRATEGIES,
    State,
    Strategy,
    centroids,
)
from benchmarks.result import Measurement, Result
from training.curve.refit import STRENGTHS

FOLDS, REPEATS = 5, 12
FIRST_A_CLASS = 2
ENOUGH = 0.98
GOALS = (0.95, ENOUGH)
"""Shares of the accuracy with all labels for which the labels needed are compared. Near the end the curves
are flat, and the intervals wide."""

TIMEOUT_S = 3 * 3600.0
RESAMPLES = 500

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "label_efficiency.png"


@dataclass(frozen=True)
class Curves:
    """The curves of a strategy on a data set; all strategies have the same seeds.

    Attributes:
        labels: int64 [points].
        accuracy: float64 [seeds, points], on the test images.
    """

    labels: np.ndarray
    accuracy: np.ndarray


def measure(scratch: Path) -> Result:
    """Simulate labelling with true labels; for a seed, all strategies have the same split."""
    sets = labelled_sets(scratch)
    results = {found.name: simulate(found, scratch) for found in sets}
    draw(PICTURE, results)
    return _result(results)


def simulate(images: LabelledSet, scratch: Path) -> tuple[float, dict[str, Curves]]:
    """Simulate every strategy under every seed.

    Args:
        images: the data set.
        scratch: folder for a copy of the data set, which the worker processes read.

    Returns:
        The mean accuracy with all labels, and the curves by strategy.
    """
    file = scratch / f"{images.name}.pickle"
    file.write_bytes(pickle.dumps(images))
    seeds = range(FOLDS * REPEATS)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one process per core
    spawn = multiprocessing.get_context("spawn")  # BLAS's threads do not survive a fork
    with ProcessPoolExecutor(os.cpu_count(), spawn) as workers:
        best = list(workers.map(_with_all_labels, [(file, seed) for seed in seeds]))
        jobs = [(file, strategy.name, seed) for strategy in STRATEGIES for seed in seeds]
        found = list(workers.map(_simulated, jobs, chunksize=4))
    curves = {}
    for place, strategy in enumerate(STRATEGIES):
        points = np.array(found[place * len(seeds) : (place + 1) * len(seeds)])
        curves[strategy.name] = Curves(points[0, :, 0].astype(int), points[:, :, 1])
    return float(np.mean(best)), curves


def _simulated(job: tuple[Path, str, int]) -> list[tuple[int, float]]:
    file, name, seed = job
    strategy = next(strategy for strategy in STRATEGIES if strategy.name == name)
    return Simulation(pickle.loads(file.read_bytes()), seed).curve(strategy)


def _with_all_labels(job: tuple[Path, int]) -> float:
    file, seed = job
    return Simulation(pickle.loads(file.read_bytes()), seed).accuracy_with_all()


def divided(images: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Hold a fifth back; seeds of one repeat hold back different ones.

    Args:
        images: number of them.
        seed: of the division.

    Returns:
        int64 [n], the other rows in random order; int64 [m], the rows held back; a random generator.
    """
    repeat, fold = divmod(seed, FOLDS)
    order = np.random.default_rng(repeat).permutation(images)
    others = np.delete(order, np.s_[fold::FOLDS])
    shuffled = np.random.default_rng([repeat, fold]).permutation(others)
    return shuffled, order[fold::FOLDS], np.random.default_rng([repeat, fold, 1])


class Simulation:
    """One division of a data set into images to label, for validation and for testing.

    Args:
        images: the data set.
        seed: of the division and of all that is random.
    """

    def __init__(self, images: LabelledSet, seed: int) -> None:
        others, held, self._rng = divided(len(images.targets), seed)
        self._images = images
        self._all = Split(images.x, images.targets, len(images.labels))
        self._val = self._all.take(others[: images.validation])
        self._test = self._all.take(held)
        self._pool = others[images.validation :]
        self._strength = len(STRENGTHS) // 2

    def accuracy_with_all(self) -> float:
        """Return the accuracy with all labels of the pool."""
        return self._accuracy(self._fit(self._pool))

    def curve(self, strategy: Strategy) -> list[tuple[int, float]]:
        """Label, fit and choose until ``LabelledSet.most`` labels; return labels and accuracies."""
        labelled = self._first(strategy)
        points = []
        while True:
            probe = self._fit(labelled)
            points.append((len(labelled), self._accuracy(probe)))
            if len(labelled) >= min(self._images.most, len(self._pool)):
                return points
            labelled = np.concatenate([labelled, self._batch(strategy, labelled, probe)])

    def _first(self, strategy: Strategy) -> np.ndarray:
        count = FIRST_A_CLASS * len(self._images.labels)
        if strategy.starts_with_centroids:
            return centroids(self._images, self._pool, count, self._rng)
        return self._pool[:count]  # in random order, the same for all such strategies

    def _batch(self, strategy: Strategy, labelled: np.ndarray, probe: Probe) -> np.ndarray:
        free = self._pool[~np.isin(self._pool, labelled)]
        size = self._images.batch
        drawn = self._rng.permutation(free)[
            : int(strategy.random_share * size + self._rng.random())
        ]
        rest = free[~np.isin(free, drawn)]
        state = State(self._images, rest, np.concatenate([labelled, drawn]), probe, self._rng)
        return np.concatenate([drawn, strategy.choose(state, size - len(drawn))])

    def _fit(self, rows: np.ndarray) -> Probe:
        labelled = self._all.take(rows)
        probe = fitted(labelled.x, labelled.targets, self._val, self._strength)
        self._strength = probe.strength
        return probe

    def _accuracy(self, probe: Probe) -> float:
        predicted = probe.probabilities(self._test.x, self._test.classes).argmax(1)
        return float((predicted == self._test.targets).mean())


def labels_needed(curves: Curves, accuracy: float) -> float:
    """Return the number of labels at which the mean curve reaches ``accuracy``, 0 to 1; NaN if it never
    does."""
    return _crossing(curves.labels, curves.accuracy.mean(0), accuracy)


def _crossing(labels: np.ndarray, mean: np.ndarray, accuracy: float) -> float:
    """Return the labels at which the smoothed mean reaches ``accuracy``; NaN where it does not."""
    from sklearn.isotonic import isotonic_regression

    # More labels do not make a model worse, and one lucky point does not count.
    smooth = isotonic_regression(mean)
    if smooth[-1] < accuracy:
        return float("nan")
    place = int((smooth >= accuracy).argmax())
    around = slice(max(0, place - 1), place + 1)
    return float(np.interp(accuracy, smooth[around], labels[around]))


def share_of(curves: Curves, peer: Curves, accuracy: float) -> tuple[float, float, float]:
    """Compare the labels that two strategies need, paired by seed.

    Args:
        curves: of the strategy.
        peer: of the other one, with the same seeds.
        accuracy: to be reached, 0 to 1.

    Returns:
        The strategy's labels as a share of the peer's, and the bounds of the 95 % interval by the
        bootstrap over the seeds. Resamples in which one does not reach ``accuracy`` count with its
        last number of labels.
    """

    def needed(found: Curves, rows: np.ndarray) -> float:
        crossing = _crossing(found.labels, found.accuracy[rows].mean(0), accuracy)
        return float(found.labels[-1]) if np.isnan(crossing) else crossing

    rng = np.random.default_rng(0)
    seeds = len(curves.accuracy)
    every = np.arange(seeds)
    drawn = [rng.integers(seeds, size=seeds) for _ in range(RESAMPLES)]
    shares = [needed(curves, rows) / needed(peer, rows) for rows in drawn]
    low, high = np.percentile(shares, [2.5, 97.5])
    return needed(curves, every) / needed(peer, every), float(low), float(high)


PAIRS = (
    (MARGIN_FIFTH, RANDOM),
    (MARGIN_FIFTH, MARGIN),
    (MARGIN_FIFTH, MARGIN_CENTROIDS),
    (MARGIN_FIFTH, DROP_QUERY),
)
"""Compared by the share of labels; the first of each is the product's."""


def _result(results: Mapping[str, tuple[float, dict[str, Curves]]]) -> Result:
    measurements, notes = [], []
    for name, (best, curves) in results.items():
        for goal in GOALS:
            measurements += _compared(f"{name}, {goal:.0%}", curves, goal * best)
        needed = {
            strategy: labels_needed(found, ENOUGH * best) for strategy, found in curves.items()
        }
        in_order = needed[RANDOM.name]
        measurements += [
            Measurement(
                what=f"{name}, {ENOUGH:.0%}: {strategy}",
                value=labels,
                unit="labels",
                peer=None if np.isnan(in_order) else in_order,
            )
            for strategy, labels in needed.items()
            if strategy != RANDOM.name and not np.isnan(labels)
        ]
        notes += [
            f"{name}: “{strategy}” does not reach {ENOUGH:.0%} with {curves[strategy].labels[-1]} "
            "labels, the most that are simulated. Shares with it count that number, so its labels "
            "are understated."
            for strategy, labels in needed.items()
            if np.isnan(labels)
        ]
        notes.append(f"{name}: the shares are of {best:.1%}, the accuracy with all labels.")
    return Result(measurements=measurements, peer=RANDOM.name, notes=notes + _notes())


def _compared(what: str, curves: Mapping[str, Curves], accuracy: float) -> list[Measurement]:
    """Compare the labels that ``PAIRS`` need for an accuracy; ``what`` names data set and goal."""
    found = []
    for ours, peer in PAIRS:
        share, low, high = share_of(curves[ours.name], curves[peer.name], accuracy)
        found.append(
            Measurement(
                what=f"{what}: labels of “{ours.name}” as a share of those of “{peer.name}” "
                f"(95 % interval {low:.2f} to {high:.2f})",
                value=share,
                unit="",
            )
        )
    return found


def _notes() -> list[str]:
    return [
        "scenes: intel-scenes; clothes: the folders of fashion-multilabel, 150 photos only, so its "
        "intervals are wide; both seen by the default nets of the probe. digits: scikit-learn's, "
        "by their pixels. Features on their 256 principal axes.",
        f"{FOLDS} folds, {REPEATS} times: a fifth is for testing; the validation labels, which set "
        "each probe's strength, are given to every strategy and counted in none. The first "
        f"labels, {FIRST_A_CLASS} for each class, are at random unless the name says centroids.",
        "Intervals: bootstrap over the seeds, paired. Divisions of one data set share images, so "
        "they speak of these images, not of others.",
        "DropQuery: arXiv 2401.14555, with the paper's settings.",
        f"![Accuracy over labels](images/{PICTURE.name})",
    ]


def draw(path: Path, results: Mapping[str, tuple[float, dict[str, Curves]]]) -> None:
    """Write a chart of accuracy over labels, one panel for each data set.

    Args:
        path: of the image file.
        results: accuracy with all labels and curves by strategy, by data set.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(results), 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(1, len(results)))
    for axes, (name, (best, curves)) in zip(panels, results.items(), strict=True):
        for strategy, found in curves.items():
            axes.plot(found.labels, found.accuracy.mean(0), label=strategy, linewidth=1.2)
        axes.axhline(ENOUGH * best, color="black", linewidth=0.8, linestyle="--")
        axes.set(title=name, xlabel="labelled images", ylim=(ENOUGH * best - 0.2, None))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy on test images (mean of the seeds)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
