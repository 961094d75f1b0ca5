"""Labels until a model is nearly as good as with all of them: ours, margin sampling, at random."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.labelling_probe import Probe, Split, fit
from benchmarks.photos import MISSING, NAME
from benchmarks.processes import BenchmarkFailed
from benchmarks.result import Measurement, Result
from benchmarks.scenes import Scenes, load, missing, saved, scenes
from benchmarks.simulated_queue import EXPLORATION, queued

FOLDS, REPEATS = 5, 4
VAL, START = 390, 12
BATCHES = (25,) * 60
ENOUGH, LIMIT, EARLY = 0.98, 0.45, 112
ALL, RANDOM, MARGIN = "all labels", "random order", "margin sampling"
OURS, EXPLORING = "choose, nothing at random", "choose, a fifth at random (the default)"
MOST = {RANDOM: 1300, MARGIN: 512, OURS: 512, EXPLORING: 600}
"""Labels at which a curve ends, well after the required accuracy."""

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "label_efficiency.png"

Curve = list[tuple[int, float]]
"""Number of labels, and accuracy with them."""


def measure(scratch: Path) -> Result:
    """Simulate labelling with true labels; for a seed, all strategies start with the same
    labels."""
    if missing():
        return Result(skipped=missing())
    found = scenes(scratch)
    if found is None:
        return Result(skipped=MISSING)
    file = saved(found, scratch)
    best = float(np.mean([curve[0][1] for curve in _curves(file, ALL)]))
    curves = {name: np.array(_curves(file, name)) for name in MOST}
    labels = {name: labels_needed(name, curve, ENOUGH * best) for name, curve in curves.items()}
    draw(PICTURE, curves, best, labels)
    return _result(labels, best, curves)


def _curves(scenes_file: Path, name: str) -> list[Curve]:
    """The curve of a strategy under each seed."""
    spawn = multiprocessing.get_context("spawn")  # BLAS's threads do not survive a fork
    with ProcessPoolExecutor(os.cpu_count(), spawn) as workers:
        return list(
            workers.map(
                _simulated, [(str(scenes_file), name, seed) for seed in range(FOLDS * REPEATS)]
            )
        )


def labels_needed(name: str, curves: np.ndarray, accuracy: float) -> float:
    """The number of labels at which the mean curve reaches ``accuracy``.

    The mean over the seeds is smoothed by isotonic regression.

    Args:
        name: of the strategy, for messages.
        curves: float [seeds, points, 2], labels and accuracy.
        accuracy: to be reached, 0 to 1.

    Raises:
        BenchmarkFailed: the curve does not reach ``accuracy``.
    """
    from sklearn.isotonic import IsotonicRegression

    labels = curves[0, :, 0]
    # More labels do not make a model worse, and one lucky point does not count.
    smooth = IsotonicRegression().fit_transform(labels, curves[:, :, 1].mean(0))
    if smooth[-1] < accuracy:
        raise BenchmarkFailed(
            f"{name}: {smooth[-1]:.1%} right with {labels[-1]:.0f} labels, not {accuracy:.1%}; "
            "raise MOST"
        )
    place = int((smooth >= accuracy).argmax())
    around = slice(max(0, place - 1), place + 1)
    return float(np.interp(accuracy, smooth[around], labels[around]))


def _result(labels: dict[str, float], best: float, curves: dict[str, np.ndarray]) -> Result:
    chance = labels[RANDOM]
    early = {
        name: float(curve[:, curve[0, :, 0] == EARLY, 1].mean()) for name, curve in curves.items()
    }
    return Result(
        measurements=[
            Measurement(
                what=f"{OURS}: labels needed, as a share of those in random order",
                value=labels[OURS] / chance,
                unit="",
                limit=LIMIT,
                peer=labels[MARGIN] / chance,
            ),
            Measurement(
                what=f"{EXPLORING}: the same share",
                value=labels[EXPLORING] / chance,
                unit="",
                peer=labels[MARGIN] / chance,
            ),
            Measurement(
                what=f"{OURS}: labels needed (at most as many as margin sampling)",
                value=labels[OURS],
                unit="labels",
                limit=labels[MARGIN],
                peer=chance,
            ),
            *(
                Measurement(
                    what=f"{name}: labels needed", value=labels[name], unit="labels", peer=chance
                )
                for name in (EXPLORING, MARGIN)
            ),
            *(
                Measurement(
                    what=f"{name}: error after {EARLY} labels",
                    value=100 * (1 - early[name]),
                    unit="%",
                    peer=100 * (1 - early[RANDOM]),
                )
                for name in (MARGIN, OURS, EXPLORING)
            ),
        ],
        peer=f"{RANDOM}; of the shares {MARGIN}",
        notes=_notes(best),
    )


def _notes(best: float) -> list[str]:
    return [
        f"Enough is {ENOUGH:.0%} of {best:.1%}, the accuracy with all labels of a training split. Frozen "
        f"MobileNetV2 features of {NAME}; a probe as training/fitting/probe.py fits it.",
        f"{FOLDS} folds, {REPEATS} times: a fifth is for testing, {VAL} for validation, the rest may "
        f"be labelled; {START} first labels at random, the same for all, then batches of "
        f"{BATCHES[0]}. The mean of the {FOLDS * REPEATS} curves counts, smoothed so that it never "
        "falls: the curves are flat where they cross the line, and five alone leave the ratio "
        "to chance.",
        f"{MARGIN} and choose see the same probabilities; choose has its default weights. The limits "
        "are for the choice itself, as papers compare it, so nothing of it is random; the "
        "product's default (labelling.exploration_share) draws a fifth at random, which is counted.",
        f"The {VAL} validation labels, which set each probe's strength, are given to every arm and "
        "counted in none: a line that begins with nothing has to gather them, too, and what the "
        "default draws of the validation and test splits comes on top.",
        f"![Accuracy over labels](images/{PICTURE.name})",
    ]


def draw(path: Path, curves: dict[str, np.ndarray], best: float, labels: dict[str, float]) -> None:
    """Write a chart of accuracy over labels: the mean of the seeds, and their range.

    Args:
        path: of the image file.
        curves: float [seeds, points, 2] by strategy, labels and accuracy.
        best: accuracy with all labels, 0 to 1.
        labels: labels needed, by strategy.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for colour, (name, curve) in zip(
        ("#888888", "#3b6fb6", "#2a7f62", "#e0a100"), curves.items(), strict=True
    ):
        counts, seeds = curve[0, :, 0], curve[:, :, 1]
        axes.fill_between(counts, seeds.min(0), seeds.max(0), color=colour, alpha=0.12, linewidth=0)
        axes.plot(counts, seeds.mean(0), color=colour, label=f"{name}: {labels[name]:.0f} labels")
        axes.plot([labels[name]], [ENOUGH * best], "o", color=colour, ms=5)
    axes.axhline(ENOUGH * best, color="black", linewidth=0.8, linestyle="--")
    axes.text(
        axes.get_xlim()[1],
        ENOUGH * best,
        f"{ENOUGH:.0%} of {best:.1%}, the accuracy with all labels ",
        ha="right",
        va="top",
        fontsize=8,
    )
    axes.set(xlabel="labelled images", ylabel="accuracy on test images", ylim=(0.6, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _simulated(job: tuple[str, str, int]) -> Curve:
    """Simulate a strategy with one seed: split, first labels, and all choices."""
    from threadpoolctl import threadpool_limits

    file, name, seed = job
    with threadpool_limits(1):  # the processes share the cores
        return _Simulation(load(file), seed).curve(name)


class _Simulation:
    def __init__(self, scenes: Scenes, seed: int) -> None:
        repeat, fold = divmod(seed, FOLDS)
        order = np.random.default_rng(repeat).permutation(len(scenes.targets))
        others = np.random.default_rng([repeat, fold]).permutation(
            np.delete(order, np.s_[fold::FOLDS])
        )
        self._pool, self._seed, self._scenes = others[VAL:], seed, scenes
        self._all = Split(scenes.features, scenes.targets)
        self._val = self._all.take(others[:VAL])
        self._test = self._all.take(order[fold::FOLDS])

    def curve(self, name: str) -> Curve:
        """Label, fit, choose, until there are as many labels as ``MOST`` says."""
        classes = len(self._scenes.labels)
        if name == ALL:
            probe = fit(self._all.take(self._pool), self._val, classes, 4)
            return [(len(self._pool), probe.accuracy(self._test))]
        labelled, strength, curve = self._pool[:START], 6, []
        for size in BATCHES:
            probe = fit(self._all.take(labelled), self._val, classes, strength)
            strength = probe.strength
            curve.append((len(labelled), probe.accuracy(self._test)))
            if len(labelled) >= MOST[name]:
                break
            labelled = np.concatenate([labelled, self._next(name, labelled, probe, size)])
        return curve

    def _next(self, name: str, labelled: np.ndarray, probe: Probe, size: int) -> np.ndarray:
        free = self._pool[~np.isin(self._pool, labelled)]
        if name == RANDOM:  # the pool is in random order already; read it less often
            return free[: 4 * size]
        probabilities = probe.probabilities(self._scenes.features[free])
        if name == MARGIN:
            top = np.sort(probabilities, axis=1)
            return free[np.argsort(top[:, -1] - top[:, -2], kind="stable")[:size]]
        return queued(
            self._scenes,
            free,
            labelled,
            probabilities,
            probe.probabilities(self._scenes.features[labelled]),
            size,
            exploration=EXPLORATION if name == EXPLORING else 0.0,
            seed=self._seed,
        )
