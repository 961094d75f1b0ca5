"""The interface of a reason to label an image."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Reason(Protocol):
    """A reason to label images, with a sentence for each.

    A new reason is a class like this in its own module, a line in ``labelling.selection.mix``, and a
    place in ``labelling.selection.batch``.
    """

    name: str

    def why(self, pool: "Pool", index: int) -> str:
        """The reason for image ``index`` in a few words for the annotator, with the numbers."""
        ...
