"""Conversion of predictions to Label Studio's JSON, checked against the project's labelling page."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from labelling.label_studio.config import CONTROL, OBJECT, parse_label_config
from resources.label_studio.connection import Connection
from resources.label_studio.types import LabelStudioRefused, Prelabel

if TYPE_CHECKING:
    from label_studio_sdk.label_interface.interface import LabelInterface


class PredictionCheck:
    """Checks predictions against the labelling page of a project; the server checks nothing."""

    def __init__(self, connection: Connection) -> None:
        """Read the project's labelling page. Raises ProjectMissing."""
        self._page = connection.read_fields("label_config")["label_config"]
        page = parse_label_config(self._page)
        self._choice, self.labels = page.choice, frozenset(page.names)
        self._parsed: LabelInterface | None = None

    def convert(self, sample_id: str, prelabel: Prelabel) -> dict[str, Any]:
        """Convert a pre-label to Label Studio's JSON.

        Raises:
            LabelStudioRefused: it does not fit the page; the message names the image and the error.
        """
        made = _to_json(prelabel, self._choice)
        problems = self._interface().validate_prediction(made, return_errors=True)
        if len(set(prelabel.labels)) != (1 if self._choice == "single" else len(prelabel.labels)):
            problems = [*problems, f"{len(prelabel.labels)} labels for a {self._choice} choice"]
        if not prelabel.labels or not prelabel.model_version:
            problems = [*problems, "no label or no model version"]
        if problems:
            raise LabelStudioRefused(
                f"the prediction of {prelabel.model_version or 'no model'} for the image "
                f"{sample_id} does not fit the project's page: {'; '.join(map(str, problems))}. "
                "Bring the page up to date with the label schema (`imgclf up --label-studio`)"
            )
        return made

    def _interface(self) -> "LabelInterface":
        if self._parsed is None:
            from label_studio_sdk.label_interface.interface import LabelInterface

            self._parsed = LabelInterface(self._page)
        return self._parsed


def _to_json(prelabel: Prelabel, choice: str) -> dict[str, Any]:
    probabilities = {name: round(float(p), 6) for name, p in prelabel.probabilities.items()}
    return {
        "model_version": prelabel.model_version,
        "score": prelabel.priority,
        "result": [
            {
                "from_name": CONTROL,
                "to_name": OBJECT,
                "type": "choices",
                "value": {"choices": list(prelabel.labels)},
                "meta": {
                    "probs": probabilities,
                    "confidence": _confidence(probabilities.values(), choice),
                },
            }
        ],
    }


def _confidence(probabilities: Iterable[float], choice: str) -> float:
    """Return the highest probability; for multiple choices, the least ``|2p - 1|``; in [0, 1]."""
    if choice == "single":
        return max(probabilities, default=0.0)
    return round(min((abs(2 * p - 1) for p in probabilities), default=0.0), 6)
