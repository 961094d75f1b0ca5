"""Images with several labels, where the task is that each has one."""

from collections.abc import Sequence

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import ListRefusedError, Statement

_SLIPS = 0.05
"""Share of images with several labels up to which they are taken for slips, and set aside."""

SEVERAL_REMEDY = 'set task = "multi_label" under [labels] in imgclf.toml to allow several'


def set_aside(name: str, several: Sequence[Statement], labelled: int) -> list[Rejection]:
    """Set statements with several labels aside, if they are few.

    Args:
        name: of the list.
        several: those statements.
        labelled: how many images have any label in the list.

    Returns:
        Why they are not used.

    Raises:
        ListRefusedError: they are too many for slips.
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
        Rejection(f"{item.place} {item.file}: {', '.join(item.labels or ())}", reason)
        for item in several
    ]
