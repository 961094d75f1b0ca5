"""A terminal that shows text from outside (labels, file names, messages) and never acts on it."""

from collections.abc import Iterable

from rich import markup
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from labelling.labels.foreign_text import visible


def escape(text: str) -> str:
    """Write ``text`` so that neither rich's markup nor a control character in it acts."""
    # A lone backslash before a tag of ours would turn that tag into text.
    return markup.escape(visible(text, lines=True))


class SafeConsole(Console):
    """A console whose text holds no control characters but line breaks, whoever forgot
    ``escape``."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does; its own control codes are no text and stay."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text, lines=True), segment.style)
