"""Images with several labels, although the task allows one."""

from collections.abc import Sequence

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import ListRefusedError, Statement

_SLIPS = 0.05
"""The share of images with several labels up to which they count as mistakes and are rejected."""

SEVERAL_REMEDY = 'set task = "multi_label" under [labels] in imgclf.toml to allow several'


def set_aside(name: str, several: Sequence[Statement], labelled: int) -> list[Rejection]:
    """Reject statements with several labels, if they are few.

    Args:
        name: of the list.
        several: the statements with several labels.
        labelled: number of images with any label in the list.

    Returns:
        Their rejections.

    Raises:
        ListRefusedError: they are too many to be mistakes.
    """
    if not several:
        return []
    first = several[0]
    if len(several) > _SLIPS * labelled:
        raise ListRefusedError(
            f"{name} gives {len(several):,} of {labelled:,} labelled images several "
            f"labels ({first.file}: {', '.join(first.labels or ())}) where the task is single_label; "
            f"{SEVERAL_REMEDY}"
        )
    reason = f"several labels where the task is single_label; {SEVERAL_REMEDY}"
    return [
        Rejection(f"{item.place} {item.file}: {', '.join(item.labels or ())}", reason, of_list=True)
        for item in several
    ]
