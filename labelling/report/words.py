"""Numbers of the labelling report as text."""


def count(n: int | None, one: str, many: str = "") -> str:
    """A number with its noun: ``3 images``, ``1 image``.

    Args:
        n: the number; ``None`` counts as 0.
        one: the noun in the singular.
        many: the plural; default: ``one`` and an s.
    """
    return f"{n or 0:,} {one if n == 1 else many or one + 's'}"


def number(value: float | None) -> str:
    """A whole number; a dash for ``None``."""
    return "–" if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int = 0) -> str:
    """``0.876`` as ``88%``; a dash for ``None``."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def signed(value: float) -> str:
    """A whole number with a typographic minus sign."""
    return f"{value:,.0f}".replace("-", "−")


def seconds(value: float | None) -> str:
    """``3.2 s``, or minutes; a dash for ``None``."""
    return "–" if value is None else f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"


def hours(hours: float) -> str:
    """``1.4 hours``, or minutes."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def coefficient(value: float | None) -> str:
    """Two digits; a dash for ``None``."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def person(name: str) -> str:
    """The display name of an annotator."""
    return name.removeprefix("label_studio:")
