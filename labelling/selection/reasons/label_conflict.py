"""Reason: the labels of the image contradict each other."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class LabelConflict:
    """The image is excluded from the data set until an annotator resolves its contradicting
    labels."""

    name = "label_conflict"

    def why(self, pool: "Pool", index: int) -> str:
        return self.why_of(pool, str(pool.sha256[index]))

    def why_of(self, pool: "Pool", sha256: str) -> str:
        """:meth:`why` of an image that may not be in the pool."""
        return f"its labels contradict each other: {pool.conflicts[sha256]}"
