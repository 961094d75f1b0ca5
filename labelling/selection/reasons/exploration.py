"""Reason: random choice."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Exploration:
    """Every image has the same chance, independent of all models.

    The only reason for images of the validation and test splits: choosing those by a model would
    bias its scores. In the training split it finds images that every other reason misses.
    """

    name = "exploration"

    def why(self, pool: "Pool", index: int) -> str:
        return f"drawn at random, for the {pool.split[index]} split"
