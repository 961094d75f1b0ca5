"""The result cards of images; ``templates/cards.html`` renders them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from ui.runtime import STAGES, ModelAnswer, Problem, Stage

if TYPE_CHECKING:
    import jinja2

TOP = 5
"""Labels shown of each model, and one more if it would be the only one left out."""

STAGE_NAMES: Mapping[Stage, str] = {"staging": "Staging", "prod": "Production"}


@dataclass(slots=True)
class Card:
    """One image on the page, with the answers so far.

    Attributes:
        name: name of the file.
        size: bytes of the file.
        picture: a data URL; ``None``: there is none yet.
        answers: stage to its prediction or problem.
        id: names a card that can be corrected; empty: it cannot.
        corrected: the labels that a person gave (empty: none of them); ``None``: not corrected.
    """

    name: str
    size: int
    picture: str | None = None
    answers: dict[Stage, ModelAnswer | Problem] = field(default_factory=dict)
    id: str = ""
    corrected: tuple[str, ...] | None = None

    @property
    def thanks(self) -> str:
        """Confirmation of a correction."""
        labels = ", ".join(self.corrected or ()) or "none of the labels"
        return f"Thank you: it goes to the labelling queue as {labels}."

    @property
    def common_problem(self) -> Problem | None:
        """The problem, if all models have the same one with the image."""
        answers = list(self.answers.values())
        first = answers[0] if len(answers) == len(STAGES) else None
        return first if isinstance(first, Problem) and set(answers) == {first} else None

    @property
    def is_disputed(self) -> bool:
        """Whether the two models predict different labels."""
        answers = [answer for answer in self.answers.values() if isinstance(answer, ModelAnswer)]
        return (
            len(answers) == len(STAGES) and len({frozenset(one.predicted) for one in answers}) > 1
        )

    @property
    def is_correctable(self) -> bool:
        """Whether the image can be corrected: all stages have answered, and one has predicted."""
        predicted = any(isinstance(answer, ModelAnswer) for answer in self.answers.values())
        return bool(self.id) and predicted and len(self.answers) == len(STAGES)


def render(cards: list[Card]) -> str:
    """Return the HTML of the result cards."""
    return _templates().get_template("cards.html").render(cards=cards, stages=STAGE_NAMES, top=TOP)


@cache
def _templates() -> "jinja2.Environment":
    """Return the template environment: all values are escaped, and a missing one is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"file_size": _size, "percent": _percent, "width": _width}
    environment.tests["prediction"] = lambda answer: isinstance(answer, ModelAnswer)
    return environment


def _width(score: float) -> str:
    return f"{100 * min(max(score, 0.0), 1.0):.1f}%"


def _percent(score: float) -> str:
    if 0 < score < 0.001:
        return "< 0.1 %"
    if 0.999 < score < 1:
        return "> 99.9 %"
    return f"{100 * score:.1f} %"


def _size(size: int) -> str:
    return f"{size / 1024**2:.1f} MB" if size >= 1024**2 else f"{max(1, round(size / 1024))} kB"
