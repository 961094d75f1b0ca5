"""A terminal that shows foreign text (labels, file names, messages) without interpreting it."""

from collections.abc import Iterable

from rich import markup
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from labelling.labels.foreign_text import visible


def escape(text: str) -> str:
    """Return ``text`` with rich's markup and control characters escaped."""
    # A backslash at the end of the text would escape a markup tag that follows it.
    return markup.escape(visible(text, lines=True))


class SafeConsole(Console):
    """A console that shows control characters in its text, except line breaks, as escapes.

    It is a second protection for text that did not pass through :func:`escape`.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, with control characters of the text escaped; rich's own are kept."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text, lines=True), segment.style)
