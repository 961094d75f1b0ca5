"""Reason: a user of the predictor corrected the prediction."""

from typing import TYPE_CHECKING

from labelling.labels.schema import in_words

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class CorrectionReason:
    """A user of the predictor gave other labels; an annotator decides whether they are right."""

    name = "correction"

    def why(self, pool: "Pool", index: int) -> str:
        return self.why_of(pool, str(pool.sha256[index]))

    def why_of(self, pool: "Pool", sha256: str) -> str:
        """:meth:`why` of an image that may not be in the pool."""
        return f"a user of the predictor says: {in_words(pool.corrections[sha256])}"
