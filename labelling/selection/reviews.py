"""Images with corrections or label conflicts, to be reviewed by an annotator."""

from labelling.selection.pool import TRAIN, Choice, Pool
from labelling.selection.reasons.correction import CorrectionReason
from labelling.selection.reasons.label_conflict import LabelConflict

REVIEWED = (CorrectionReason.name, LabelConflict.name)
"""Names of the reasons for a review."""


def reviews(pool: Pool) -> list[Choice]:
    """A choice for each correction, then for each conflict, of any image; of a near-duplicate group
    only the first.

    Corrections of validation and test images are ignored; conflicts are not.
    """
    # Users correct what a model got wrong: corrected test images would make the split harder than
    # the data it stands for. A conflict is found without a model.
    position = {sha256: i for i, sha256 in enumerate(pool.sha256.tolist())}
    correction, conflict = CorrectionReason(), LabelConflict()
    reasons: dict[str, CorrectionReason | LabelConflict] = {
        sha256: correction for sha256 in pool.corrections if _split(pool, position, sha256) == TRAIN
    }
    for sha256 in pool.conflicts:
        reasons.setdefault(sha256, conflict)
    found, groups = [], set()
    for sha256, reason in reasons.items():
        group = str(pool.group[position[sha256]]) if sha256 in position else sha256
        if group not in groups:
            groups.add(group)
            suggested = tuple(pool.corrections.get(sha256, ()))
            why = reason.why_of(pool, sha256)
            found.append(Choice(sha256, reason.name, 1.0, why, 0.0, suggested, {reason.name: 1.0}))
    return found


def _split(pool: Pool, position: dict[str, int], sha256: str) -> str:
    if sha256 in position:
        return str(pool.split[position[sha256]])
    return pool.splits.get(sha256, TRAIN)
