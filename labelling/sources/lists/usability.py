"""Refuse lists that are mostly unusable."""

from collections.abc import Sequence

from labelling.labels.foreign_text import visible
from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import ListRefusedError

_EXAMPLES = 3


def refuse_if_mostly_unusable(name: str, total: int, rejections: Sequence[Rejection]) -> None:
    """Refuse a list of which more than half cannot be used.

    Args:
        name: of the list.
        total: number of its lines or records.
        rejections: those that cannot be used, with place and reason.

    Raises:
        ListRefusedError: more than half cannot be used; the message has each reason once.
    """
    if 2 * len(rejections) <= total:
        return
    by_reason: dict[str, list[str]] = {}
    for rejection in rejections:
        by_reason.setdefault(rejection.reason, []).append(rejection.name)
    reasons = [
        f"{len(places):,} × {reason} ({', '.join(places[:_EXAMPLES])})"
        for reason, places in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    ]
    raise ListRefusedError(
        visible(
            f"{name}: {min(len(rejections), total):,} of {total:,} lines cannot be used, so the "
            f"list was not read: {'; '.join(reasons)}. Correct the list, give its columns with "
            "--columns IMAGE,LABEL, or give --labels-from none"
        )
    )
