"""Routes of the dialog "This is wrong": the labels to choose from, and where to send them.

The page calls this server only, which has the image and the backend's token. A card has an id that
cannot be guessed, so nobody corrects the images of others.
"""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from ui.cards import STAGE_NAMES, Card
from ui.feedback import Feedback, FeedbackFailed, Opinion
from ui.runtime import ModelAnswer

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_CARDS = 2000
"""Cards kept for corrections; the oldest are dropped first."""

_GONE = "This picture was removed; drop it again and repeat the correction."


class Chosen(BaseModel):
    """The labels that a person chose; none: none of them applies (multi_label)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[str] = Field(max_length=1000)


class CorrectionCounter:
    """Registers the cards on users' pages and sends their corrections.

    Args:
        feedback: client of the labelling backend.
    """

    def __init__(self, feedback: Feedback) -> None:
        self._feedback = feedback
        self._cards: OrderedDict[str, tuple[Card, Path]] = OrderedDict()
        self._lock = threading.Lock()

    def register(self, card: Card, path: Path) -> None:
        """Make ``card`` correctable; ``path`` is the file of its image."""
        card.id = uuid4().hex
        with self._lock:
            self._cards[card.id] = card, path
            while len(self._cards) > MAX_CARDS:
                self._cards.popitem(last=False)

    def choices(self, card_id: str) -> dict[str, Any]:
        """Return what the dialog shows of a card: predictions, and the labels, most probable first.

        Returns:
            ``several`` (whether multi_label), ``labels``, ``chosen`` and ``opinions``.

        Raises:
            FeedbackFailed: the card is unknown, or the backend does not answer.
        """
        card, _ = self._find(card_id)
        offered = self._feedback.offered()
        scores: dict[str, float] = {}
        for opinion in _stage_answers(card):
            for ranked in opinion.prediction.labels:
                scores[ranked.label] = max(ranked.score, scores.get(ranked.label, 0.0))
        ranked_labels = sorted(offered.labels, key=lambda label: -scores.get(label, 0.0))
        return {
            "several": offered.task == "multi_label",
            "labels": ranked_labels,
            "chosen": list(card.corrected or ()),
            "opinions": [
                f"{STAGE_NAMES[opinion.stage]} said {_named(opinion.prediction.predicted)}"
                for opinion in _stage_answers(card)
            ],
        }

    def correct(self, card_id: str, labels: list[str]) -> str:
        """Send the right labels of a card; return the confirmation for the user.

        Raises:
            FeedbackFailed: the card or its file is gone, or the backend refuses the correction.
        """
        card, path = self._find(card_id)
        try:
            image = path.read_bytes()
        except OSError:
            raise FeedbackFailed(_GONE) from None
        self._feedback.send(image, labels, _stage_answers(card))
        card.corrected = tuple(labels)
        return card.thanks

    def _find(self, card_id: str) -> tuple[Card, Path]:
        with self._lock:
            found = self._cards.get(card_id)
        if found is None:
            raise FeedbackFailed(_GONE)
        return found


def add_routes(app: "FastAPI", counter: CorrectionCounter) -> None:
    """Add the dialog's routes to ``app``."""
    from fastapi import Request
    from fastapi.responses import JSONResponse

    @app.get("/corrections/{card_id}")
    def choices(card_id: str) -> JSONResponse:
        try:
            return JSONResponse(counter.choices(card_id))
        except FeedbackFailed as error:
            return JSONResponse({"error": str(error)}, 503)

    @app.post("/corrections/{card_id}")
    def correct(card_id: str, chosen: Chosen, request: Request) -> JSONResponse:
        """Send a person's correction to the labelling backend.

        Args:
            card_id: of the image's card.
            chosen: the labels that the person chose.
            request: for its headers.
        """
        # Another site's page can send a form, but neither JSON nor this header.
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return JSONResponse({"error": "Corrections come from this page only."}, 403)
        try:
            return JSONResponse({"thanks": counter.correct(card_id, chosen.labels)})
        except FeedbackFailed as error:
            return JSONResponse({"error": str(error)}, 503)


def _stage_answers(card: Card) -> list[Opinion]:
    return [
        Opinion(stage, answer)
        for stage, answer in card.answers.items()
        if isinstance(answer, ModelAnswer)
    ]


def _named(labels: tuple[str, ...]) -> str:
    return ", ".join(labels) or "none of the labels"
