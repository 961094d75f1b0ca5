"""The reasons to label an image, and their weights."""

from labelling.selection.reasons.class_balance import ClassBalance
from labelling.selection.reasons.correction import CorrectionReason
from labelling.selection.reasons.disagreement import Disagreement
from labelling.selection.reasons.diversity import Diversity
from labelling.selection.reasons.exploration import Exploration
from labelling.selection.reasons.label_conflict import LabelConflict
from labelling.selection.reasons.novelty import Novelty
from labelling.selection.reasons.reason import Reason
from labelling.selection.reasons.uncertainty import Uncertainty

DEFAULT_WEIGHTS: dict[str, float] = {
    "uncertainty": 1.0,
    "disagreement": 0.5,
    "diversity": 0.2,
    "class_balance": 0.2,
    "novelty": 0.1,
}
"""Weight of each reason in the score; measured by benchmarks/label_efficiency.py."""


def _every_reason() -> dict[str, Reason]:
    reasons: list[Reason] = [
        CorrectionReason(),
        LabelConflict(),
        Uncertainty(),
        Disagreement(),
        Diversity(),
        ClassBalance(),
        Novelty(),
        Exploration(),
    ]
    return {reason.name: reason for reason in reasons}


REASONS: dict[str, Reason] = _every_reason()
"""By name. The score is the weighted mean of those in ``DEFAULT_WEIGHTS``; corrections and
conflicts come first, and exploration has its own share of a batch."""
