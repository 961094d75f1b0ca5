"""Analysis of a data set's learning curves: the score now, with more labels, and the queue's value."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labelling.report.curve_law import (
    FURTHEST,
    LEAST_SAMPLE,
    MIN_LABELS,
    Curve,
    CurveError,
    Estimate,
    Points,
    fit,
)
from labelling.report.curve_report import Backtest, ClassCurve, CurveReport, Forecast, Saved
from training.artefact.artefact import ArtefactManifest, Task
from training.curve.points import Subsets
from training.curve.refit import Refit
from training.data.manifest import DatasetCard

MOST_IMAGES = 10_000
"""Most training images to measure; of more, a random sample. Fits take time in proportion."""

MOST_CLASSES = 12
"""Most classes with a curve of their own, the worst first: each takes dozens of fits."""

LEAST_RANDOM = 60
"""Fewest images in random order for an estimate of the queue's value."""

_ROUND = (5, 10, 20, 30, 50, 80, 100, 120, 150, 200, 300, 500, 800, 1000, 1500, 2000, 5000)
_FORECAST_STEPS = 25


@dataclass(frozen=True)
class Split:
    """Images of one or two splits.

    Attributes:
        features: float32 [n, d].
        truth: bool [n, classes].
        sha256: str [n].
    """

    features: np.ndarray
    truth: np.ndarray
    sha256: np.ndarray


def curve_report(
    train: Split,
    held: Split,
    *,
    card: DatasetCard,
    dataset_version: str,
    manifest: ArtefactManifest,
    chosen: frozenset[str],
    tell: Callable[[int, int], None],
    most: int = MOST_IMAGES,
) -> CurveReport:
    """Measure the learning curves and build the report.

    Of more than ``most`` training images a random sample is measured; forecasts are for all of them,
    or left out.

    Args:
        train: labelled images to fit on.
        held: images to score on.
        card: of the data set; its labels are the columns of ``truth``.
        dataset_version: of the data set, for the report.
        manifest: of the model that computed the features.
        chosen: SHA-256 (hex) of the images that the queue chose with a reason.
        tell: called with the number of fits done, and the most there will be.
        most: training images to measure at most.
    """
    used, there = _sampled(train, most), len(train.truth)
    subsets = _subsets(used, held, card, tell)
    every = np.arange(len(used.truth))
    now = subsets.marks(every)
    points = subsets.curve(every, seed=0)
    curve, why_not = _fitted(points)
    more = _round_number(there / 4)
    gain, no_gain = _gain(curve, more, why_not, there)
    shown, left_out = _worst_classes(now.f1, card.labels)
    return CurveReport(
        dataset_version=dataset_version,
        model_version=manifest.model_version,
        task=card.task,
        score_name="accuracy" if card.task == "single_label" else "macro-F1",
        labels=there,
        measured=len(every),
        held=len(held.truth),
        score=now.score,
        points=points,
        more=more,
        gain=gain,
        why_not=no_gain,
        forecast=_forecast(curve, points, there) if curve else [],
        backtest=backtest(subsets, every, now.score),
        classes=_classes(subsets, shown, card.labels, now.f1, train.truth.sum(0)),
        not_shown=[card.labels[index] for index in left_out],
        saved=_saved(subsets, train.sha256, chosen, now.score),
        notes=_notes(manifest.recipe, card.task, len(every), there),
    )


def _sampled(split: Split, most: int) -> Split:
    """Return a random sample of ``most`` images, or all if there are no more."""
    if len(split.truth) <= most:
        return split
    few = np.sort(np.random.default_rng(0).permutation(len(split.truth))[:most])
    return Split(split.features[few], split.truth[few], split.sha256[few])


def _subsets(
    train: Split, held: Split, card: DatasetCard, tell: Callable[[int, int], None]
) -> Subsets:
    """Build the measuring object, which reports its fits to ``tell``."""
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


def _gain(curve: Curve | None, more: int, why_not: str, there: int) -> tuple[Estimate | None, str]:
    if curve is None:
        return None, why_not
    try:
        return curve.gain(more, there=there), ""
    except CurveError as error:
        return None, str(error)


def _round_number(most: float) -> int:
    """Return the largest round number up to ``most``."""
    return max((n for n in _ROUND if n <= most), default=_ROUND[0])


def _forecast(curve: Curve, points: Points, there: int) -> list[Forecast]:
    measured = points.sizes[-1]
    last = there if measured >= LEAST_SAMPLE * there else measured
    steps = np.geomspace(points.sizes[0], FURTHEST * last, _FORECAST_STEPS)
    sizes = sorted({round(step) for step in steps} | {measured, last})
    return [Forecast(labels=size, score=curve.at(size)) for size in sizes]


def backtest(subsets: Subsets, every: np.ndarray, score: float) -> Backtest | None:
    """Predict the score of all images from a random half of them, to check the prediction.

    Args:
        subsets: scores classifiers fitted to subsets of the images.
        every: int [n], positions of the images.
        score: in [0, 1], reached with all of them.

    Returns:
        Prediction and score; ``None`` if no curve can be fitted to half of the images.
    """
    half = np.random.default_rng(1).permutation(every)[: len(every) // 2]
    if len(half) < MIN_LABELS:
        return None
    points = subsets.curve(half, seed=1)
    curve, _ = _fitted(points)
    gain, _ = _gain(curve, len(half), "", len(half))
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
    """Return the columns of the classes to show, lowest F1 first (NaN last), and of the others."""
    order = sorted(range(len(labels)), key=lambda i: (np.isnan(f1[i]), f1[i], labels[i]))
    return order[:MOST_CLASSES], order[MOST_CLASSES:]


def _classes(
    subsets: Subsets, shown: list[int], labels: tuple[str, ...], f1: np.ndarray, counts: np.ndarray
) -> list[ClassCurve]:
    """Measure the curves of single classes.

    Args:
        subsets: measures.
        shown: columns of the classes.
        labels: names of all classes.
        f1: float64 [classes], with all measured images.
        counts: int64 [classes], of all training images, measured or not.
    """
    usual = _round_number(float(np.median(counts)) / 2)
    found = []
    for index in shown:
        count, used, points = int(counts[index]), int(subsets.truth[:, index].sum()), None
        more = min(usual, max(count, 1))
        if np.isnan(f1[index]):
            gain, why_not = None, "no image of it is in the validation or test split"
        elif used < MIN_LABELS:
            of = "" if used == count else f" of {count}"
            gain, why_not = None, f"{used}{of} images; it takes {MIN_LABELS}"
        else:
            points = subsets.class_curve(index, seed=100 + index)
            curve, why_not = _fitted(points)
            gain, why_not = _gain(curve, more, why_not, count)
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


def _saved(subsets: Subsets, shas: np.ndarray, chosen: frozenset[str], score: float) -> Saved:
    """Estimate how many randomly chosen labels the queue's choice has saved.

    Args:
        subsets: measures.
        shas: str [n], SHA-256 of all training images.
        chosen: SHA-256 of the images that the queue chose.
        score: with all measured images, in [0, 1].
    """
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
    if len(subsets.truth) < len(shas):
        return Saved(
            **counts,
            points=None,
            needed=None,
            why_not=f"{len(subsets.truth):,} of {len(shas):,} labelled images were measured, so "
            "the score of all of them is not known",
        )
    points = subsets.curve(random, seed=2)
    curve, why_not = _fitted(points)
    needed = curve.labels_for(score, of=len(shas)) if curve else None
    if needed is not None and needed.low is None:
        why_not = (
            "random order would need more than ten times the random images there are, or never "
            "reach it"
        )
    return Saved(**counts, points=points, needed=needed, why_not=why_not)


def _notes(recipe: str, task: Task, used: int, images: int) -> list[str]:
    notes = [
        "Measured by refitting a linear probe on the features of the model's backbone; all scores "
        "on the images of the validation and test splits together."
    ]
    if recipe != "probe":
        notes.append(
            f"The backbone was itself trained on these images (recipe {recipe}), so small subsets "
            "score better than they should: gains are understated."
        )
    if task == "multi_label":
        notes.append("A label is predicted above a probability of one half.")
    if used < images:
        notes.append(
            f"{used:,} of {images:,} training images were measured, drawn at random: scores are of "
            f"these. Gains are for all {images:,}: the law is followed to there. Of a class's gain "
            "it is assumed that it does not depend on how many images the others have."
        )
    return notes
