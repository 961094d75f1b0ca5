"""The result cards and what the predictor makes of an endpoint's answers."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber
from PIL import Image

from tests.patience import WAIT_S
from ui.cards import Card, render
from ui.page import MAX_IMAGES, answer
from ui.runtime import ModelAnswer, Problem, RankedLabel, Runtime
from ui.thumbnails import is_costly, thumbnail

pytestmark = pytest.mark.unit

LABELS = ("cat", "dog", "emu", "fox", "gnu", "hen", "ibis")


def prediction(*meant: str, labels: tuple[str, ...] = LABELS[:2]) -> ModelAnswer:
    scores = [0.9, 0.05, 0.02, 0.015, 0.01, 0.004, 0.001]
    ranked = tuple(
        RankedLabel(label=label, score=score) for label, score in zip(labels, scores, strict=False)
    )
    return ModelAnswer("train-1", "d" * 64, ranked, meant)


def card(staging: ModelAnswer | Problem, prod: ModelAnswer | Problem, name: str = "a.jpg") -> Card:
    return Card(name, 2048, None, {"staging": staging, "prod": prod})


def test_what_comes_from_outside_cannot_become_markup() -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    reply = ModelAnswer(evil, evil, (RankedLabel(label=evil, score=0.5),), (evil,))
    html = render([card(reply, Problem("failed", evil), name=evil)])
    assert "<img" not in html
    assert "onerror=alert(1)&gt;&#34;&#39;" in html


def test_disagreement_is_said_only_when_the_models_mean_different_labels() -> None:
    assert "disagree" not in render([card(prediction("cat"), prediction("cat"))])
    assert "disagree" in render([card(prediction("cat"), prediction("dog"))])
    assert "disagree" not in render([card(prediction("cat", "dog"), prediction("dog", "cat"))])
    assert "disagree" not in render([card(prediction("cat"), Problem("absent", "none"))])


def test_one_problem_of_both_stages_is_said_once() -> None:
    same = Problem("image", "the image cannot be read: truncated")
    assert render([card(same, same)]).count("truncated") == 1
    assert render([card(same, Problem("absent", "nothing"))]).count("truncated") == 1


def test_less_likely_labels_are_counted_from_the_second_on() -> None:
    html = render([card(prediction("cat", labels=LABELS[:6]), prediction("cat", labels=LABELS))])
    assert html.count("<li") == 6 + 5
    assert "and 2 less likely" in html


@pytest.mark.parametrize(("mode", "fill"), [("L", 200), ("LA", (200, 255)), ("CMYK", (0, 50, 0, 0)),
    ("P", 3), ("1", 1), ("I;16", 51200), ("RGBA", (200, 0, 0, 0)), ("F", 0.5)])  # fmt: skip
def test_every_kind_of_image_gets_a_preview(mode: str, fill: Any) -> None:
    out = io.BytesIO()
    Image.new(mode, (640, 480), fill).save(out, "TIFF")
    url = thumbnail(out.getvalue())
    assert url is not None
    assert url.startswith("data:image/jpeg;base64,")


def test_a_sideways_photo_is_shown_upright() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (640, 320)).save(out, "JPEG", exif=exif)
    url = thumbnail(out.getvalue())
    assert url is not None
    import base64

    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as small:
        assert small.size == (160, 320)


def test_what_is_no_image_has_no_preview() -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    assert [thumbnail(data) for data in (b"", b"hello", whole.getvalue()[:300])] == [None] * 3


@pytest.fixture
def stubbed() -> Callable[[], tuple[Runtime, Stubber]]:
    def make() -> tuple[Runtime, Stubber]:
        runtime = Runtime("http://127.0.0.1:1", "imgclf")
        stubber = Stubber(runtime._client)
        stubber.activate()
        return runtime, stubber

    return make


def refusal(status: int, code: str, message: str) -> dict[str, Any]:
    original = json.dumps({"error": {"code": code, "message": message}})
    return {
        "service_error_code": "ModelError",
        "service_message": f"Received client error ({status}) from primary …",
        "modeled_fields": {"OriginalStatusCode": status, "OriginalMessage": original},
    }


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (refusal(400, "unreadable_image", "the image is truncated"), "image", "the image is truncated"),
        (refusal(413, "too_large", "more than 25 MB"), "image", "more than 25 MB"),
        (refusal(429, "too_many_requests", "try again shortly"), "failed", "try again shortly"),
        (refusal(500, "internal_error", "boom"), "failed", "boom"),
        (
            {"service_error_code": "ValidationError",
             "service_message": "Endpoint imgclf-prod of account 1 not found."},
            "absent", "Endpoint imgclf-prod of account 1 not found.",
        ),
        (
            {"service_error_code": "ServiceUnavailable", "service_message": "imgclf-prod serves no model: x"},
            "absent", "imgclf-prod serves no model: x",
        ),
        ({"service_error_code": "ServiceUnavailable", "service_message": "busy"}, "failed", "busy"),
    ],
)  # fmt: skip
def test_each_refusal_is_told_for_what_it_is(
    stubbed: Callable[[], tuple[Runtime, Stubber]], error: dict[str, Any], kind: str, text: str
) -> None:
    runtime, stubber = stubbed()
    modeled = error.pop("modeled_fields", None)
    stubber.add_client_error("invoke_endpoint", **error, modeled_fields=modeled)
    assert runtime.predict("prod", b"x") == Problem(kind, text)


def test_an_answer_that_is_no_prediction_is_reported(
    stubbed: Callable[[], tuple[Runtime, Stubber]],
) -> None:
    runtime, stubber = stubbed()
    stubber.add_response("invoke_endpoint", {"Body": io.BytesIO(b"<html>")})
    predicted = runtime.predict("prod", b"x")
    assert isinstance(predicted, Problem)
    assert predicted.text.startswith("The answer is not one prediction")


def test_an_oversized_file_is_not_even_sent() -> None:
    predicted = Runtime("http://127.0.0.1:1", "imgclf").predict("prod", bytes(26 * 1024**2))
    assert predicted == Problem("image", "26.0 MB is more than the 25 MB allowed")


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), "Is imgclf up running?"),
        (NoCredentialsError(), "Unable to locate credentials"),
    ],
)
def test_an_endpoint_out_of_reach_is_reported(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, text: str
) -> None:
    runtime = Runtime("http://127.0.0.1:1", "imgclf")

    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(runtime._client, "invoke_endpoint", fail)
    predicted = runtime.predict("prod", b"x")
    assert isinstance(predicted, Problem)
    assert predicted.kind == "failed"
    assert text in predicted.text


def test_what_is_too_much_is_left_out_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{index}.jpg" for index in range(MAX_IMAGES + 3)]
    for path in paths:
        path.write_bytes(b"x")
    runtime = Runtime("http://127.0.0.1:1", "imgclf")
    monkeypatch.setattr(runtime, "predict", lambda stage, data: prediction("cat"))
    *_, (note, html) = answer(runtime, paths)
    assert note == f"3 more were left out: {MAX_IMAGES} at a time."
    assert html.count("<article") == MAX_IMAGES
    assert "asking" not in html


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def test_a_file_of_a_format_that_starts_a_program_starts_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import subprocess

    from PIL import EpsImagePlugin

    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *command, **_: started.append(command))
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: started.append("gs"))
    assert Image.open(io.BytesIO(EPS)).format == "EPS", "Pillow itself would"
    assert thumbnail(EPS) is None
    assert started == []


@pytest.mark.parametrize(
    "raised", [IndexError("x"), NotImplementedError(), RuntimeError(), KeyError(1), MemoryError()]
)
def test_whatever_a_decoder_raises_there_is_only_no_preview(
    monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("ui.thumbnails.decode", fail)
    assert thumbnail(b"x") is None


def test_previews_of_damaged_files_never_raise() -> None:
    import random

    whole = []
    for kind in (
        "JPEG",
        "PNG",
        "WEBP",
        "AVIF",
        "GIF",
        "TIFF",
        "BMP",
        "PPM",
        "JPEG2000",
        "QOI",
        "DDS",
    ):
        out = io.BytesIO()
        Image.effect_noise((40, 48), 50).convert("RGB").save(out, kind)
        whole.append(out.getvalue())
    chance = random.Random(7)
    for data in whole:
        for _ in range(12):
            broken = bytearray(data)
            for _ in range(chance.randint(1, 6)):
                broken[chance.randrange(min(len(broken), 200))] = chance.randrange(256)
            thumbnail(bytes(broken))


def test_what_one_file_makes_go_wrong_is_said_on_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("good.jpg", "bad.jpg", "gone.jpg", "big.jpg")]
    for path in paths:
        path.write_bytes(path.name.encode())
    with paths[3].open("r+b") as big:
        big.truncate(26 * 1024**2)
    runtime = Runtime("http://127.0.0.1:1", "imgclf")

    def model_answer(stage: str, data: bytes) -> ModelAnswer:
        if data == b"bad.jpg":
            raise ZeroDivisionError("boom")
        return prediction("cat")

    monkeypatch.setattr(runtime, "predict", model_answer)
    steps = answer(runtime, paths)
    next(steps)  # all cards are there before any is worked on
    paths[2].unlink()
    *_, (_, html) = steps
    good, bad, gone, big = html.split("<article")[1:]
    assert "meant" in good
    assert "ZeroDivisionError" in bad
    assert "cannot be read" in gone
    assert "26.0 MB is more than the 25 MB allowed" in big


def test_nothing_is_asked_for_a_page_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    paths = [tmp_path / f"{index}.jpg" for index in range(40)]
    for path in paths:
        path.write_bytes(b"x")
    runtime, go_on, asked = Runtime("http://127.0.0.1:1", "imgclf"), threading.Event(), list[str]()

    def slow(stage: str, data: bytes) -> ModelAnswer:
        asked.append(stage)
        assert go_on.wait(WAIT_S)
        return prediction("cat")

    monkeypatch.setattr(runtime, "predict", slow)
    monkeypatch.setattr("ui.page._UPDATE_EVERY_S", 0)
    steps = answer(runtime, paths)
    next(steps)
    next(steps)  # some preview is there, and some answers are under way
    steps.close()
    go_on.set()
    assert len(asked) < 2 * len(paths)


def test_costly_previews_wait_for_the_cheap_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bytes] = []

    def watched(data: bytes) -> str:
        drawn.append(data)
        return "data:image/jpeg;base64,x"

    monkeypatch.setattr("ui.page.thumbnail", watched)
    monkeypatch.setattr("ui.page.is_costly", lambda data: data == b"bomb")
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, data in zip(paths, (b"bomb", b"a", b"b"), strict=True):
        path.write_bytes(data)
    runtime = Runtime("http://127.0.0.1:1", "imgclf")
    monkeypatch.setattr(runtime, "predict", lambda stage, data: prediction("cat"))
    *_, (_, html) = answer(runtime, paths)
    assert drawn == [b"a", b"b", b"bomb"]
    assert html.count("<img") == 3


def test_a_picture_of_many_pixels_is_costly() -> None:
    def png(side: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (side, side)).save(out, "PNG")
        return out.getvalue()

    assert not is_costly(png(1000))
    assert is_costly(png(5100))
    assert not is_costly(b"no picture")
