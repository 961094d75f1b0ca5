"""What the learning curves of a data set say: now, with more labels, and of the queue's choice."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labelling.curve_report import Backtest, ClassCurve, CurveReport, Forecast, Saved
from labelling.learning_curve import (
    FURTHEST,
    MIN_LABELS,
    Curve,
    CurveError,
    Estimate,
    Points,
    fit,
)
from training.artefact import ArtefactManifest, Task
from training.curve_points import Subsets
from training.manifest import DatasetCard
from training.refit import Refit

MOST_CLASSES = 12
"""Classes that get a curve of their own, the worst first: each takes dozens of fits."""

LEAST_RANDOM = 60
"""Of fewer images in random order no curve says what their order is worth."""

_ROUND = (5, 10, 20, 30, 50, 80, 100, 120, 150, 200, 300, 500, 800, 1000, 1500, 2000, 5000)
_FORECAST_STEPS = 25


@dataclass(frozen=True)
class Split:
    """Images of one or two splits: features float32 [n, d], truth bool [n, classes], sha256
    str [n]."""

    features: np.ndarray
    truth: np.ndarray
    sha256: np.ndarray


def curve_report(
    train: Split,
    held: Split,
    *,
    card: DatasetCard,
    dataset_version: str,
    train_images: int,
    manifest: ArtefactManifest,
    chosen: frozenset[str],
    tell: Callable[[int, int], None],
) -> CurveReport:
    """Measure everything the report tells.

    Args:
        train: the labelled images to learn from.
        held: those that scores are taken on.
        card: of the data set; its labels are the columns of ``truth``.
        train_images: how many there are; ``train`` may be a sample of them.
        manifest: of the model whose features these are.
        chosen: sha256 of the images that the queue chose with a reason.
        tell: told how many fits are done, of how many at most.
    """
    subsets = _subsets(train, held, card, tell)
    every = np.arange(len(train.truth))
    now = subsets.marks(every)
    points = subsets.curve(every, seed=0)
    curve, why_not = _fitted(points)
    more = _round_number(len(every) / 4)
    gain, no_gain = _gain(curve, more, why_not)
    shown, left_out = _worst_classes(now.f1, card.labels)
    return CurveReport(
        dataset_version=dataset_version,
        model_version=manifest.model_version,
        task=card.task,
        score_name="accuracy" if card.task == "single_label" else "macro-F1",
        labels=len(every),
        held=len(held.truth),
        score=now.score,
        points=points,
        more=more,
        gain=gain,
        why_not=no_gain,
        forecast=_forecast(curve, points) if curve else [],
        backtest=_backtest(subsets, every, now.score),
        classes=_classes(subsets, shown, card.labels, now.f1),
        not_shown=[card.labels[index] for index in left_out],
        saved=_saved(subsets, train.sha256, chosen, now.score),
        notes=_notes(manifest.recipe, card.task, len(every), train_images),
    )


def _subsets(
    train: Split, held: Split, card: DatasetCard, tell: Callable[[int, int], None]
) -> Subsets:
    """What measures; it counts its fits."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        tell(done, total)

    refit = Refit(train.features, train.truth, held.features, held.truth, card.task)
    subsets = Subsets(refit, train.truth, count)
    total = subsets.fits(min(MOST_CLASSES, len(card.labels)))
    return subsets


def _fitted(points: Points) -> tuple[Curve | None, str]:
    try:
        return fit(points), ""
    except CurveError as error:
        return None, str(error)


def _gain(curve: Curve | None, more: int, why_not: str) -> tuple[Estimate | None, str]:
    if curve is None:
        return None, why_not
    try:
        return curve.gain(more), ""
    except CurveError as error:
        return None, str(error)


def _round_number(most: float) -> int:
    """The largest number that is easily said, up to ``most``."""
    return max((n for n in _ROUND if n <= most), default=_ROUND[0])


def _forecast(curve: Curve, points: Points) -> list[Forecast]:
    steps = np.geomspace(points.sizes[0], FURTHEST * points.sizes[-1], _FORECAST_STEPS)
    sizes = sorted({round(step) for step in steps} | {points.sizes[-1]})
    return [Forecast(labels=size, score=curve.at(size)) for size in sizes]


def _backtest(subsets: Subsets, every: np.ndarray, score: float) -> Backtest | None:
    """What half of the labels would have foretold of all of them."""
    half = np.random.default_rng(1).permutation(every)[: len(every) // 2]
    if len(half) < MIN_LABELS:
        return None
    points = subsets.curve(half, seed=1)
    curve, _ = _fitted(points)
    gain, _ = _gain(curve, len(half), "")
    if curve is None or gain is None:
        return None
    foretold = Estimate(
        value=_plus(curve.score, gain.value),
        low=_plus(curve.score, gain.low),
        high=_plus(curve.score, gain.high),
    )
    return Backtest(labels=len(half), foretold=foretold, score=score)


def _plus(score: float, gain: float | None) -> float | None:
    return None if gain is None else min(1.0, score + gain)


def _worst_classes(f1: np.ndarray, labels: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Columns of the classes to show, the lowest F1 first (unknown ones last), and of the rest."""
    order = sorted(range(len(labels)), key=lambda i: (np.isnan(f1[i]), f1[i], labels[i]))
    return order[:MOST_CLASSES], order[MOST_CLASSES:]


def _classes(
    subsets: Subsets, shown: list[int], labels: tuple[str, ...], f1: np.ndarray
) -> list[ClassCurve]:
    counts = subsets.truth.sum(0)
    usual = _round_number(float(np.median(counts)) / 2)
    found = []
    for index in shown:
        count, points = int(counts[index]), None
        more = min(usual, max(count, 1))
        if np.isnan(f1[index]):
            gain, why_not = None, "no image of it is in the validation or test split"
        elif count < MIN_LABELS:
            gain, why_not = None, f"{count} images; it takes {MIN_LABELS}"
        else:
            points = subsets.class_curve(index, seed=100 + index)
            gain, why_not = _gain(*_for_gain(points, more))
        found.append(
            ClassCurve(
                label=labels[index],
                labels=count,
                f1=0.0 if np.isnan(f1[index]) else float(f1[index]),
                more=more,
                gain=gain,
                why_not=why_not,
                points=points,
            )
        )
    return found


def _for_gain(points: Points, more: int) -> tuple[Curve | None, int, str]:
    curve, why_not = _fitted(points)
    return curve, more, why_not


def _saved(subsets: Subsets, shas: np.ndarray, chosen: frozenset[str], score: float) -> Saved:
    picked = np.array([sha in chosen for sha in shas], bool)
    random = np.flatnonzero(~picked)
    counts = {"chosen": int(picked.sum()), "random": len(random)}
    if not counts["chosen"]:
        return Saved(**counts, points=None, needed=None, why_not="the queue has chosen nothing yet")
    if len(random) < LEAST_RANDOM:
        return Saved(
            **counts,
            points=None,
            needed=None,
            why_not=f"only {len(random)} labelled images are in random order; it takes "
            f"{LEAST_RANDOM}",
        )
    points = subsets.curve(random, seed=2)
    curve, why_not = _fitted(points)
    needed = curve.labels_for(score, of=len(shas)) if curve else None
    if needed is not None and needed.low is None:
        why_not = "random order would need more than ten times the random images there are, or never get there"
    return Saved(**counts, points=points, needed=needed, why_not=why_not)


def _notes(recipe: str, task: Task, used: int, images: int) -> list[str]:
    notes = [
        "Measured by refitting a linear probe on the features of the model's backbone; all scores "
        "on the images of the validation and test splits together."
    ]
    if recipe != "probe":
        notes.append(
            f"The backbone was itself trained on these images (recipe {recipe}), so that small "
            "subsets look better than they would have been: gains are understated."
        )
    if task == "multi_label":
        notes.append("A label counts as given above a probability of one half.")
    if used < images:
        notes.append(f"{used:,} of {images:,} training images were used, drawn at random.")
    return notes
