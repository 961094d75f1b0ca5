"""Client of the labelling backend: sends corrections."""

import base64
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from errors.base import ImgclfError
from ui.runtime import ModelAnswer, Stage

SCORES_SENT = 20
"""Scores sent of each model, the highest: a model may have thousands of labels."""

_TIMEOUT = httpx.Timeout(30, connect=3)


class FeedbackFailed(ImgclfError, RuntimeError):
    """A correction was not accepted; the message is for the person who sent it."""


class LabelsOffered(BaseModel):
    """The labels to choose from for an image: one of them, or several."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    task: Literal["single_label", "multi_label"]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opinion:
    """A stage's prediction of the image."""

    stage: Stage
    prediction: ModelAnswer

    def to_json(self) -> dict[str, Any]:
        """Return it in the backend's format."""
        prediction = self.prediction
        return {
            "stage": self.stage,
            "model_version": prediction.model_version,
            "digest": prediction.digest,
            "prediction_id": prediction.prediction_id,
            "predicted": list(prediction.predicted),
            "scores": {ranked.label: ranked.score for ranked in prediction.labels[:SCORES_SENT]},
        }


class Feedback:
    """Client of the labelling backend. Thread-safe.

    Args:
        url: URL of the backend (``--feedback-url``).
        token: the predictor's token (``IMGCLF_FEEDBACK_TOKEN``).
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            trust_env=not self.url.startswith("http://"),  # loopback goes past any proxy
        )

    def offered(self) -> LabelsOffered:
        """Return the labels to choose from.

        Raises:
            FeedbackFailed: the backend does not answer or has no model.
        """
        answer = self._ask("GET", "/corrections/labels")
        try:
            return LabelsOffered.model_validate_json(answer.content)
        except ValueError:
            raise FeedbackFailed(
                f"{self.url} is no labelling backend; see --feedback-url"
            ) from None

    def send(self, image: bytes, labels: list[str], opinions: list[Opinion]) -> None:
        """Send a correction; a repetition counts once.

        Args:
            image: bytes of the image file.
            labels: the right labels.
            opinions: the stages' predictions.

        Raises:
            FeedbackFailed: the backend does not answer or refuses the correction.
        """
        body = {
            "image": base64.b64encode(image).decode("ascii"),
            "labels": labels,
            "said": [one.to_json() for one in opinions],
        }
        self._ask("POST", "/corrections", body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError:
            raise FeedbackFailed(
                f"No answer from the labelling backend at {self.url}. "
                "Is imgclf up --label-studio running?"
            ) from None
        if answer.status_code == 401:
            raise FeedbackFailed(
                "The labelling backend does not know this predictor: IMGCLF_FEEDBACK_TOKEN must be "
                "the feedback_token of its credentials file."
            )
        if not answer.is_success:
            raise FeedbackFailed(_message(answer))
        return answer


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The labelling backend answered HTTP {answer.status_code}."
