"""The reasons to label an image, and how much each counts."""

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
"""How much each reason counts in the mix; see benchmarks/label_efficiency.py."""


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
"""By name. Those in ``DEFAULT_WEIGHTS`` are mixed; corrections and conflicts come first, and
exploration has a share of its own."""
