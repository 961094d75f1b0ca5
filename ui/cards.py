"""The result cards as HTML. Everything that comes from outside is escaped here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from ui.runtime import STAGES, Prediction, Problem, Stage

TOP = 5
"""Labels shown of each model; one more is shown rather than counted."""

STAGE_NAMES: Mapping[Stage, str] = {"staging": "Staging", "prod": "Production"}


@dataclass(slots=True)
class Card:
    """One image on the page and what has been said of it so far.

    ``picture`` is a data URL, None while there is none. ``id`` names a card that can be corrected
    (""; it cannot), ``corrected`` is what a person said,
    None while nobody has; without a label: the image has none of them.
    """

    name: str
    size: int
    picture: str | None = None
    answers: dict[Stage, Prediction | Problem] = field(default_factory=dict)
    id: str = ""
    corrected: tuple[str, ...] | None = None

    @property
    def thanks(self) -> str:
        """What a person is told who has corrected it."""
        said = ", ".join(self.corrected or ()) or "none of the labels"
        return f"Thank you: it goes to the labelling queue as {said}."


def render(cards: list[Card]) -> str:
    """The page's result area."""
    return f'<div class="results">{"".join(map(_card, cards))}</div>'


def _card(card: Card) -> str:
    picture = (
        f'<img src="{card.picture}" alt="">'
        if card.picture
        else '<div class="no-picture">no preview</div>'
    )
    return (
        f'<article class="card"><figure>{picture}'
        f'<figcaption title="{escape(card.name)}"><span>{escape(card.name)}</span>'
        f"<small>{_size(card.size)}</small></figcaption></figure>"
        f'<div class="said">{_said(card)}</div></article>'
    )


def _said(card: Card) -> str:
    answers = list(card.answers.values())
    problems = {said for said in answers if isinstance(said, Problem)}
    if len(answers) == len(STAGES) and len(problems) == 1 and answers[0] == answers[1]:
        return _problem(problems.pop())
    columns = "".join(_column(stage, card.answers.get(stage)) for stage in STAGES)
    return columns + _verdict(card) + _persons_verdict(card)


def _column(stage: Stage, said: Prediction | Problem | None) -> str:
    head = f"<h3>{STAGE_NAMES[stage]}</h3>"
    match said:
        case None:
            body = '<p class="waiting">asking …</p>'
        case Problem():
            body = _problem(said)
        case Prediction() as prediction:
            head += f'<code title="digest {escape(prediction.digest)}">{escape(prediction.model_version)}</code>'
            body = _bars(prediction)
    return f'<section data-stage="{stage}"><header>{head}</header>{body}</section>'


def _problem(problem: Problem) -> str:
    if problem.kind == "absent":
        return f'<p class="absent">{escape(problem.text)}</p>'
    return f'<p class="problem" role="alert">{escape(problem.text)}</p>'


def _bars(prediction: Prediction) -> str:
    shown = TOP if len(prediction.labels) > TOP + 1 else TOP + 1
    rows = "".join(
        f"<li{' class=meant' if ranked.label in prediction.predicted else ''}>"
        f'<i style="width:{100 * min(max(ranked.score, 0.0), 1.0):.1f}%"></i>'
        f"<span>{escape(ranked.label)}</span><b>{_percent(ranked.score)}</b></li>"
        for ranked in prediction.labels[:shown]
    )
    more = len(prediction.labels) - shown
    rest = f'<p class="more">and {more} less likely</p>' if more > 0 else ""
    # For several labels a model may mean none: each is below its threshold.
    none = "" if prediction.predicted else '<p class="none">none of the labels</p>'
    return f"{none}<ol>{rows}</ol>{rest}"


def _verdict(card: Card) -> str:
    """A line under both columns when the two models mean different things."""
    said = [answer for answer in card.answers.values() if isinstance(answer, Prediction)]
    if len(said) == len(STAGES) and set(said[0].predicted) != set(said[1].predicted):
        return '<p class="verdict">Staging and production disagree on this image.</p>'
    return ""


def _persons_verdict(card: Card) -> str:
    """The button that says a model is wrong, once all has been said that there is to say."""
    predicted = any(isinstance(answer, Prediction) for answer in card.answers.values())
    if not card.id or not predicted or len(card.answers) < len(STAGES):
        return ""
    is_corrected = card.corrected is not None
    thanks = f'<p class="thanks" role="status">{escape(card.thanks)}</p>' if is_corrected else ""
    return (
        f'<div class="verdict-of-person" data-card="{card.id}">{thanks}'
        f'<button type="button" class="wrong" data-card="{card.id}" aria-haspopup="dialog">'
        f"{'Change' if is_corrected else 'This is wrong'}</button></div>"
    )


def _percent(score: float) -> str:
    if 0 < score < 0.001:
        return "&lt; 0.1 %"
    if 0.999 < score < 1:
        return "&gt; 99.9 %"
    return f"{100 * score:.1f} %"


def _size(size: int) -> str:
    return f"{size / 1024**2:.1f} MB" if size >= 1024**2 else f"{max(1, round(size / 1024))} kB"
