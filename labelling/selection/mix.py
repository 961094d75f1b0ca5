"""The reasons to label an image."""

from labelling.selection.reasons.correction import CorrectionReason
from labelling.selection.reasons.exploration import Exploration
from labelling.selection.reasons.label_conflict import LabelConflict
from labelling.selection.reasons.reason import Reason
from labelling.selection.reasons.uncertainty import Uncertainty


def _every_reason() -> dict[str, Reason]:
    reasons: list[Reason] = [CorrectionReason(), LabelConflict(), Uncertainty(), Exploration()]
    return {reason.name: reason for reason in reasons}


REASONS: dict[str, Reason] = _every_reason()
"""By name. Corrections and conflicts come first, exploration has its own share of a batch, and the rest
is chosen by uncertainty."""
