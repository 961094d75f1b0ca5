"""The data checks found that its labels contradict each other."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class LabelConflict:
    """An image whose labels contradict each other is out of the data set until a person decides."""

    name = "label_conflict"

    def scores(self, pool: "Pool") -> np.ndarray:
        return np.isin(pool.sha256, list(pool.conflicts)).astype(np.float32)

    def why(self, pool: "Pool", index: int) -> str:
        return self.why_of(pool, str(pool.sha256[index]))

    def why_of(self, pool: "Pool", sha256: str) -> str:
        """``why`` of an image that need not be in the pool."""
        return f"its labels contradict each other: {pool.conflicts[sha256]}"
