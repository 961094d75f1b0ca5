"""Scores of the refitted probe at nested subsets of the labelled images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labelling.report.curve_law import Points
from training.curve.refit import Marks, Refit

FRACTIONS = (0.06, 0.12, 0.2, 0.35, 0.5, 0.7)
"""Shares of all images; the whole set is added as the last point."""

CLASS_FRACTIONS = (0.25, 0.4, 0.55, 0.75)
"""Shares of the images of one class, with all images of the other classes."""

DRAWS, FEW_DRAWS = 6, 3
_CHEAP = 60_000
"""Images × classes up to which a fit takes about a tenth of a second."""


@dataclass(frozen=True)
class Subsets:
    """Measures learning curves.

    Attributes:
        refit: fits and scores.
        truth: bool [n, classes], of the training images.
        done: called after each fit.
    """

    refit: Refit
    truth: np.ndarray
    done: Callable[[], None] = lambda: None

    @property
    def draws(self) -> int:
        """How often each subset is drawn: less often where a fit takes long."""
        return DRAWS if self.truth.size <= _CHEAP else FEW_DRAWS

    def fits(self, classes: int) -> int:
        """Return the most fits of a report with this number of classes."""
        shared = 1 + 3 * (self.draws * len(FRACTIONS) + 1)
        return shared + classes * (self.draws * len(CLASS_FRACTIONS) + 1)

    def marks(self, chosen: np.ndarray) -> Marks:
        """Score the probe fitted on the images at positions ``chosen``, int [k], in any order."""
        found = self.refit.marks(np.sort(chosen))
        self.done()
        return found

    def curve(self, among: np.ndarray, *, seed: int) -> Points:
        """Measure scores at growing shares of some images, stratified by class.

        Args:
            among: int [m], positions of the images.
            seed: of the random subsets.
        """
        return self._points(
            lambda rng: _mixed(self.truth, among, rng),
            FRACTIONS,
            len(among),
            np.arange(0),
            lambda marks: marks.score,
            seed,
        )

    def class_curve(self, label: int, *, seed: int) -> Points:
        """Measure a class's F1 at growing shares of its images, with all images of other classes.

        Args:
            label: column of the class.
            seed: of the random subsets.
        """
        those, others = np.flatnonzero(self.truth[:, label]), np.flatnonzero(~self.truth[:, label])
        return self._points(
            lambda rng: rng.permutation(those),
            CLASS_FRACTIONS,
            len(those),
            others,
            lambda marks: float(marks.f1[label]),
            seed,
        )

    def _points(
        self,
        ordered: Callable[[np.random.Generator], np.ndarray],
        fractions: Sequence[float],
        total: int,
        always: np.ndarray,
        read: Callable[[Marks], float],
        seed: int,
    ) -> Points:
        sizes = sorted({n for f in fractions if 0 < (n := round(f * total)) < total})
        scores: list[list[float]] = [[] for _ in sizes]
        for draw in range(self.draws):
            order = ordered(np.random.default_rng([seed, draw]))
            for place, size in enumerate(sizes):
                scores[place].append(read(self.marks(np.r_[always, order[:size]])))
        order = ordered(np.random.default_rng([seed, 0]))
        whole = read(self.marks(np.r_[always, order]))
        return Points(sizes=[*sizes, total], scores=[*scores, [whole]])


def _mixed(truth: np.ndarray, among: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``among`` in a random order in which every prefix is stratified by class.

    Images with several labels count under their first one, images without labels as one class.
    """
    first = np.where(truth[among].any(1), truth[among].argmax(1), -1)
    place = np.empty(len(among))
    for label in np.unique(first):
        those = np.flatnonzero(first == label)
        place[those] = (rng.permutation(len(those)) + rng.random()) / len(those)
    return among[np.argsort(place, kind="stable")]
