"""An annotator's hour on the scenes: our queue with pre-labels, random order with and without them."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.annotator_probe import Probe, Split, fitted, on_axes
from benchmarks.photos import MISSING
from benchmarks.result import Measurement, Result
from benchmarks.scenes import Scenes, load, missing, saved, scenes
from benchmarks.simulated_queue import EXPLORATION, queued
from training.curve.refit import STRENGTHS

QUEUE, RANDOM, PLAIN = "our queue", "random order, pre-labels", "random order, no pre-labels"
ARMS = (QUEUE, RANDOM, PLAIN)
SEEDS = range(20)
HOUR = 3600.0

ACCEPT_S, CORRECT_S, TURN_S = 1.5, 4.0, 0.5
"""Median seconds to confirm a right pre-label, to select the right label (after a wrong pre-label,
or none), and to load the next image. The first two have a log-normal spread of ``SPREAD``."""

SPREAD = 0.35
START = 12
"""Labels before the hour, in random order: two for each class."""

BATCH = 20
"""Tasks in a batch (``labelling.batch_min``: on the first day no pace is known). A batch is chosen
before the one before it is labelled, so the annotator never waits."""

RETRAIN_AT = 50
"""New labels until the next model is trained (``retraining.new_labels``)."""

POOL, VAL = 2600, 400
GOOD = 0.98
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "annotator_hour.png"


@dataclass(frozen=True)
class Hour:
    """The result of one hour.

    Attributes:
        course: float64 [n, 3]: seconds, labels and accuracy, at the start, after each new model,
            and at the end.
        kept: share of pre-labels that were right.
        best: accuracy with all labels.
    """

    course: np.ndarray
    kept: float
    best: float


def measure(scratch: Path) -> Result:
    """Simulate annotators without mistakes and with equal times; only the order and the pre-labels
    differ."""
    if missing():
        return Result(skipped=missing())
    found = scenes(scratch)
    if found is None:
        return Result(skipped=MISSING)
    file = saved(found, scratch)
    jobs = [(str(file), arm, seed) for arm in ARMS for seed in SEEDS]
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one process per core
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as workers:
        results = list(workers.map(_hour, jobs))
    hours = {
        arm: [hour for hour, job in zip(results, jobs, strict=True) if job[1] == arm]
        for arm in ARMS
    }
    draw(PICTURE, hours)
    return _result(hours)


def _result(hours: dict[str, list[Hour]]) -> Result:
    best = float(np.mean([hour.best for hour in hours[QUEUE]]))
    minutes = {arm: minutes_to(found, GOOD * best) for arm, found in hours.items()}
    after = {arm: accuracy_at(found, HOUR) for arm, found in hours.items()}
    quarter = {arm: accuracy_at(found, HOUR / 4) for arm, found in hours.items()}
    labels = {arm: float(np.mean([h.course[-1, 1] for h in found])) for arm, found in hours.items()}
    kept = {arm: float(np.mean([h.kept for h in found])) for arm, found in hours.items()}
    return Result(
        measurements=[
            _compared(f"minutes to {GOOD:.0%} of the accuracy with all labels", minutes, "min"),
            _compared("accuracy after 15 minutes", quarter, "", "at least"),
            _compared("accuracy after the hour", after, "", "at least"),
            _compared("labels in the hour", labels, "labels", "at least"),
        ],
        peer=f"{PLAIN}, which is Label Studio by itself",
        notes=[
            f"{RANDOM}: {_minutes_text(minutes[RANDOM])} min, {quarter[RANDOM]:.3f} after 15 minutes, "
            f"{after[RANDOM]:.3f} and {labels[RANDOM]:.0f} labels after the hour.",
            f"Pre-labels that were right: {kept[QUEUE]:.0%} in our queue, {kept[RANDOM]:.0%} in "
            "random order: the queue asks what the model does not know.",
            f"With all {POOL:,} labels the probe reaches {best:.3f}; means of {len(SEEDS)} seeds.",
            f"The annotator takes {ACCEPT_S:g} s to confirm, {CORRECT_S:g} s to find a label and "
            f"{TURN_S:g} s for the next picture (medians): assumptions, not measurements.",
        ],
    )


def _compared(
    what: str, values: dict[str, float], unit: str, bound: str = "at most"
) -> Measurement:
    return Measurement.model_validate(
        {
            "what": what,
            "value": values[QUEUE],
            "unit": unit,
            "bound": bound,
            "peer": None if np.isnan(values[PLAIN]) else values[PLAIN],
        }
    )


def _minutes_text(minutes: float) -> str:
    return "more than 60" if np.isnan(minutes) else f"{minutes:.1f}"


def accuracy_at(hours: list[Hour], seconds: float) -> float:
    """Mean accuracy after ``seconds``."""
    return float(np.mean([np.interp(seconds, h.course[:, 0], h.course[:, 2]) for h in hours]))


def minutes_to(hours: list[Hour], accuracy: float) -> float:
    """Minutes until the mean accuracy, smoothed to be monotonic, reaches ``accuracy``; NaN if it
    never does."""
    from sklearn.isotonic import IsotonicRegression

    seconds = np.arange(0, HOUR + 1, 10)
    mean = np.mean([np.interp(seconds, h.course[:, 0], h.course[:, 2]) for h in hours], axis=0)
    smooth = IsotonicRegression().fit_transform(seconds, mean)
    there = np.flatnonzero(smooth >= accuracy)
    return float(seconds[there[0]] / 60) if len(there) else float("nan")


def draw(path: Path, hours: dict[str, list[Hour]]) -> None:
    """Write a chart of accuracy over minutes for each arm: the mean of the seeds, and their
    range."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    seconds = np.arange(0, HOUR + 1, 20)
    for arm, colour in zip(ARMS, ("#2a7f62", "#3b6fb6", "#888888"), strict=True):
        curves = [np.interp(seconds, h.course[:, 0], h.course[:, 2]) for h in hours[arm]]
        axes.fill_between(
            seconds / 60, np.min(curves, 0), np.max(curves, 0), color=colour, alpha=0.12, lw=0
        )
        axes.plot(seconds / 60, np.mean(curves, 0), color=colour, label=arm)
    best = float(np.mean([hour.best for hour in hours[QUEUE]]))
    axes.axhline(GOOD * best, color="#666666", lw=0.8, ls=":")
    axes.annotate(
        f"{GOOD:.0%} of the accuracy with all labels",
        (1, GOOD * best),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=8,
        color="#666666",
    )
    axes.set(xlabel="minutes of an annotator", ylabel="accuracy on the test images", xlim=(0, 60))
    axes.set_ylim(0.7, None)
    axes.grid(color="#dddddd")
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _hour(job: tuple[str, str, int]) -> Hour:
    file, arm, seed = job
    return Annotator(load(file), arm, seed).hour()


class Annotator:
    """Simulate an annotator who labels images for an hour.

    Args:
        found: the images with features and classes.
        arm: one of ``ARMS``: order of the images, and whether there are pre-labels.
        seed: of the order and of the times.
    """

    def __init__(self, found: Scenes, arm: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(found.targets))
        self._scenes, self._arm, self._seed, self._rng = found, arm, seed, rng
        self._all = Split(on_axes(found.features), found.targets, len(found.labels))
        self._pool = order[:POOL]
        self._val = self._all.take(order[POOL : POOL + VAL])
        self._test = self._all.take(order[POOL + VAL :])
        self._strength = len(STRENGTHS) // 2

    def hour(self) -> Hour:
        """Simulate the hour."""
        best = self._accuracy(self._fit(self._pool))
        self._labelled = self._pool[:START]
        self._probe = self._fit(self._labelled)
        course, right = [(0.0, START, self._accuracy(self._probe))], list[bool]()
        seconds, trained = 0.0, START
        for rows in self._batches():
            took, kept = self._label(rows)
            inside = seconds + np.cumsum(took) <= HOUR
            right += kept[inside].tolist()
            self._labelled = np.concatenate([self._labelled, rows[inside]])
            seconds += float(took[inside].sum())
            over = not inside.all() or len(self._labelled) >= len(self._pool)
            if len(self._labelled) - trained >= RETRAIN_AT or over:
                trained, self._probe = len(self._labelled), self._fit(self._labelled)
                course.append((seconds, trained, self._accuracy(self._probe)))
            if over:
                break
        course.append((HOUR, len(self._labelled), course[-1][2]))
        return Hour(np.array(course, float), float(np.mean(right)), best)

    def _batches(self) -> Iterator[np.ndarray]:
        """Yield batches of tasks; the next one is chosen before this one is labelled."""
        ready = self._next(self._labelled)
        while len(ready):
            coming = self._next(np.concatenate([self._labelled, ready]))
            yield ready
            ready = coming

    def _next(self, taken: np.ndarray) -> np.ndarray:
        free = self._pool[~np.isin(self._pool, taken)]
        if self._arm != QUEUE or len(free) <= BATCH:  # the pool is in random order
            return free[:BATCH]
        predicted = self._probe.probabilities(self._all.x[free], self._all.classes)
        return queued(
            self._scenes,
            free,
            predicted,
            BATCH,
            exploration=EXPLORATION,
            seed=self._seed,
        )

    def _label(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The seconds of each task, float64 [n], and whether its pre-label was right, bool [n]."""
        predicted = self._probe.probabilities(self._all.x[rows], self._all.classes).argmax(1)
        kept = (predicted == self._scenes.targets[rows]) & (self._arm != PLAIN)
        median = np.where(kept, ACCEPT_S, CORRECT_S)
        return median * self._rng.lognormal(0, SPREAD, len(rows)) + TURN_S, kept

    def _fit(self, rows: np.ndarray) -> Probe:
        labelled = self._all.take(rows)
        probe = fitted(labelled.x, labelled.targets, self._val, self._strength)
        self._strength = probe.strength
        return probe

    def _accuracy(self, probe: Probe) -> float:
        predicted = probe.probabilities(self._test.x, self._test.classes).argmax(1)
        return float((predicted == self._test.targets).mean())
