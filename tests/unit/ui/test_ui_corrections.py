"""What lies between the page's dialog and the labelling backend."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ui import __main__ as program
from ui import corrections
from ui.cards import Card, render
from ui.corrections import CorrectionCounter, add_routes
from ui.feedback import SCORES_SENT, Feedback, FeedbackFailed
from ui.runtime import ModelAnswer, Problem, RankedLabel

pytestmark = pytest.mark.unit


class FakeBackend(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.answer = 200, b"{}"
        self.sent: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeBackend

    def do_GET(self) -> None:
        assert self.headers["Authorization"] == "Bearer token"
        if size := int(self.headers.get("Content-Length", 0)):
            self.server.sent.append(json.loads(self.rfile.read(size)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    server = FakeBackend()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def prediction(*scores: tuple[str, float]) -> ModelAnswer:
    ranked = tuple(RankedLabel(label=label, score=score) for label, score in scores)
    return ModelAnswer("train-1", "d" * 64, ranked, (ranked[0].label,), "p-1")


def card_of(counter: CorrectionCounter, folder: Path, **answers: ModelAnswer | Problem) -> Card:
    card = Card("a.png", 3, None, dict(answers))
    path = folder / "a.png"
    path.write_bytes(b"abc")
    counter.register(card, path)
    return card


def test_labels_come_most_probable_first_of_either_stage(
    backend: FakeBackend, tmp_path: Path
) -> None:
    backend.answer = b'{"task":"single_label","labels":["ant","bee","cat","dog"],"x":1}'
    counter = CorrectionCounter(Feedback(backend.url, "token"))
    card = card_of(
        counter, tmp_path, staging=prediction(("dog", 0.6), ("cat", 0.3)),
        prod=prediction(("cat", 0.9), ("gone", 0.1)),
    )  # fmt: skip
    assert counter.choices(card.id) == {
        "several": False,
        "labels": ["cat", "dog", "ant", "bee"],
        "chosen": [],
        "opinions": ["Staging said dog", "Production said cat"],
    }


def test_a_correction_is_sent_with_the_predictions(backend: FakeBackend, tmp_path: Path) -> None:
    counter = CorrectionCounter(Feedback(backend.url, "token"))
    many = [(f"label {number}", 1 / (number + 1)) for number in range(200)]
    absent = Problem("absent", "nothing")
    card = card_of(counter, tmp_path, staging=absent, prod=prediction(*many))
    assert "as ant, bee" in counter.correct(card.id, ["ant", "bee"])
    (sent,) = backend.sent
    assert base64.b64decode(sent["image"]) == b"abc"
    assert sent["labels"] == ["ant", "bee"]
    (answer,) = sent["said"]
    assert (answer["stage"], answer["prediction_id"]) == ("prod", "p-1")
    assert list(answer["scores"]) == [label for label, _ in many[:SCORES_SENT]]
    assert "as ant, bee" in render([card]), "drawn again, it says so still"


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (401, b"{}", "IMGCLF_FEEDBACK_TOKEN"),
        (503, b'{"error":{"code":"no_model","message":"no model is served yet"}}', "no model"),
        (500, b"<html>", "HTTP 500"),
        (200, b"<html>", "no labelling backend"),
    ],
)
def test_what_the_backend_refuses_is_reported(
    backend: FakeBackend, tmp_path: Path, status: int, answer: bytes, says: str
) -> None:
    backend.status, backend.answer = status, answer
    counter = CorrectionCounter(Feedback(backend.url, "token"))
    card = card_of(counter, tmp_path, prod=prediction(("cat", 0.9)))
    with pytest.raises(FeedbackFailed, match=says):
        counter.choices(card.id)


def test_no_backend_and_no_picture_are_reported_with_a_remedy(tmp_path: Path) -> None:
    counter = CorrectionCounter(Feedback("http://127.0.0.1:1", "token"))
    card = card_of(counter, tmp_path, prod=prediction(("cat", 0.9)))
    with pytest.raises(FeedbackFailed, match=r"127\.0\.0\.1:1\. Is imgclf up --label-studio"):
        counter.correct(card.id, ["cat"])
    assert card.corrected is None
    (tmp_path / "a.png").unlink()
    with pytest.raises(FeedbackFailed, match="drop it again"):
        counter.correct(card.id, ["cat"])


def test_the_oldest_cards_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "MAX_CARDS", 2)
    counter = CorrectionCounter(Feedback("http://127.0.0.1:1", "token"))
    first, *others = [card_of(counter, tmp_path, prod=prediction(("a", 1.0))) for _ in range(3)]
    with pytest.raises(FeedbackFailed, match="drop it again"):
        counter.choices(first.id)
    for card in others:
        with pytest.raises(FeedbackFailed, match="No answer"):
            counter.choices(card.id)


def test_the_routes_take_json_of_this_page_only(backend: FakeBackend, tmp_path: Path) -> None:
    counter = CorrectionCounter(Feedback(backend.url, "token"))
    card = card_of(counter, tmp_path, prod=prediction(("cat", 0.9)))
    app = FastAPI()
    add_routes(app, counter)
    client, path = TestClient(app), f"/corrections/{card.id}"
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(path, json={"labels": ["cat"]}, headers=cross).status_code == 403
    assert client.post(path, data={"labels": "cat"}).status_code == 422
    assert client.post(path, json={}).status_code == 422
    assert backend.sent == []
    assert client.post(path, json={"labels": []}).json() == {"thanks": card.thanks}
    assert "none of the labels" in card.thanks
    assert backend.sent.pop()["labels"] == []
    assert client.post(path, json={"labels": ["cat"]}).json() == {"thanks": card.thanks}
    assert client.post("/corrections/none", json={"labels": ["cat"]}).status_code == 503


def test_a_button_where_a_model_has_spoken_and_somebody_listens() -> None:
    predicted, absent = prediction(("cat", 0.9)), Problem("absent", "nothing")
    known = {"picture": None, "size": 3, "name": "a.png"}
    cards = {
        "said": Card(**known, answers={"staging": absent, "prod": predicted}, id="c1"),
        "waiting": Card(**known, answers={"prod": predicted}, id="c2"),
        "problem": Card(**known, answers={"staging": absent, "prod": absent}, id="c3"),
        "nobody listens": Card(**known, answers={"staging": absent, "prod": predicted}),
    }
    assert [name for name, card in cards.items() if "This is wrong" in render([card])] == ["said"]


def test_an_address_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(program.TOKEN_VARIABLE, raising=False)
    assert program._counter("") is None
    with pytest.raises(SystemExit, match="IMGCLF_FEEDBACK_TOKEN"):
        program._counter("http://127.0.0.1:9090")
