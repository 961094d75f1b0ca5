"""The predictor's "This is wrong", in a real browser, up to what then lies in the store."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labelling.labels.corrections import Correction, parse_correction
from object_store.store import ObjectStore
from serving.deployments import DeploymentRecord, record_key
from serving.labelling.access import ensure_credentials
from tests.e2e.predictor_page import (
    FakeRuntime,
    drop,
    nothing_deployed,
    picture,
    running,
    says,
)
from tests.patience import wait_for
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

LABELS = ("red", "green", "blue")
MANY = tuple(f"{colour} {number}" for number in range(1, 11) for colour in LABELS)


@dataclass
class Line:
    """A store, the labelling backend before it, a runtime and the predictor."""

    store: Path
    url: str
    runtime: FakeRuntime
    publish: Callable[..., tuple[str, str]]
    moment: int = 0

    def deploy(self, **fields: object) -> None:
        """Put a model with other labels or another task on production."""
        self.moment += 1
        version = f"train-{self.moment:012d}"
        digest, key = self.publish(self.store, version, **fields)
        record = DeploymentRecord.at(
            self.moment, stage="prod", model_version=version, digest=digest, model_key=key,
            deployed_by="tests", reason="",
        )  # fmt: skip
        path = self.store / record_key(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json(), encoding="utf-8")

    def corrections(self) -> list[Correction]:
        """What lies in the store, in the order in which it was said."""
        found = (self.store / "corrections").glob("*.json")
        parsed = [parse_correction(path.read_bytes(), f"corrections/{path.name}") for path in found]
        return sorted(parsed, key=lambda correction: correction.corrected_at)


@pytest.fixture(scope="module")
def line(
    tmp_path_factory: pytest.TempPathFactory, publish_model: Callable[..., tuple[str, str]]
) -> Iterator[Line]:
    store = tmp_path_factory.mktemp("store")
    ObjectStore(url=store.as_uri()).ensure()  # the labelling backend serves no folder but a store
    credentials = store.parent / "backend.json"
    token = ensure_credentials(credentials).feedback_token.get_secret_value()
    backend, page, endpoint = free_port(), free_port(), free_port()
    runtime = FakeRuntime(endpoint)
    threading.Thread(target=runtime.serve_forever, args=(0.05,), daemon=True).start()
    feedback = f"http://127.0.0.1:{backend}"
    with (
        running(
            *("serving.label_studio_backend", "--store-url", store.as_uri(), "--project", "imgclf"),
            *("--port", str(backend), "--credentials-file", str(credentials)),
            url=f"{feedback}/ping",
        ),
        running(
            *("ui", "--endpoint-url", f"http://127.0.0.1:{endpoint}", "--project", "imgclf"),
            *("--port", str(page), "--feedback-url", feedback),
            url=f"http://127.0.0.1:{page}/ping",
            IMGCLF_FEEDBACK_TOKEN=token,
        ),
    ):
        yield Line(store, f"http://127.0.0.1:{page}", runtime, publish_model)
    runtime.shutdown()
    runtime.server_close()


@pytest.fixture
def page(browser: "Browser", line: Line) -> Iterator["Page"]:
    """The page, freshly opened, before a production model that says red."""
    line.runtime.answers["imgclf-prod"] = says("train-old", red=0.8, blue=0.15, green=0.05)
    line.runtime.answers["imgclf-staging"] = nothing_deployed
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(line.url)
    tab.wait_for_selector("#files input[type=file]", state="attached")
    yield tab
    tab.close()
    assert problems == []


def shoot(page: "Page", name: str) -> None:
    """A screenshot for whoever asks for one (IMGCLF_TEST_SCREENSHOTS names a folder)."""
    if folder := os.environ.get("IMGCLF_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def boxes_apart(page: "Page", one: str, other: str) -> bool:
    """Whether two parts of the page do not overlap."""
    first, second = page.locator(one).bounding_box(), page.locator(other).bounding_box()
    assert first is not None
    assert second is not None
    return first["y"] + first["height"] <= second["y"]


def offered(page: "Page") -> list[str]:
    page.wait_for_selector("#wrong .labels label:visible")
    return page.locator("#wrong .labels label:visible").all_inner_texts()


def open_dialog(page: "Page", line: Line, expected: int) -> None:
    """Open the dialog of the first card; once the backend serves the model of the test."""

    def opened() -> bool:
        page.click("button.wrong >> nth=0")
        page.wait_for_selector("#wrong .labels label, #wrong .problem:not(:empty)")
        if page.locator("#wrong .labels label").count() == expected:
            return True
        page.keyboard.press("Escape")
        return False

    wait_for(opened, lambda: page.inner_text("#wrong"), every_s=0.2)


def test_without_a_model_the_dialog_says_why_it_has_no_labels(page: "Page", line: Line) -> None:
    drop(page, picture())
    page.click("button.wrong")
    page.wait_for_selector("#wrong .problem:not(:empty)")
    assert "No model is served yet" in page.inner_text("#wrong .problem")
    assert page.is_disabled("#wrong [type=submit]")
    page.click("#wrong .cancel")
    assert not page.is_visible("#wrong")


def test_a_correction_reaches_the_store(page: "Page", line: Line) -> None:
    line.deploy(labels=LABELS)
    image = picture("dog.png", "#6a8")
    drop(page, image, picture("next.png", "orange"))
    shoot(page, "cards")
    open_dialog(page, line, 3)
    assert offered(page) == ["red", "blue", "green"], "the most probable first"
    assert page.inner_text("#wrong .before") == "Production said red."
    assert page.is_disabled("#wrong [type=submit]")
    page.click("#wrong label:has-text('green')")
    shoot(page, "dialog")
    box = page.locator("#wrong").bounding_box()
    assert box is not None
    assert abs(box["y"] + box["height"] / 2 - 450) < 2, "in the middle of the window"
    page.click("#wrong [type=submit]")
    page.wait_for_selector(".card .thanks")
    assert not page.is_visible("#wrong")
    assert page.inner_text(".card >> nth=0 >> .thanks") == (
        "Thank you: it goes to the labelling queue as green."
    )
    assert page.locator(".card >> nth=1").locator(".thanks").count() == 0
    shoot(page, "thanks")
    (correction,) = line.corrections()
    assert (correction.labels, correction.by) == (("green",), "predictor")
    assert (line.store / correction.raw_key).read_bytes() == image["buffer"]
    (opinion,) = correction.said
    assert (opinion.stage, opinion.model_version, opinion.prediction_id) == (
        "prod",
        "train-old",
        "1",
    )
    assert opinion.predicted == ("red",)
    assert opinion.scores == {"red": 0.8, "blue": 0.15, "green": 0.05}


def test_one_can_change_ones_mind(page: "Page", line: Line) -> None:
    before = len(line.corrections())
    line.deploy(labels=LABELS)
    drop(page, picture("mind.png", "#123"))
    for label in ("green", "blue"):
        open_dialog(page, line, 3)
        page.click(f"#wrong label:has-text('{label}')")
        page.click("#wrong [type=submit]")
        page.wait_for_selector(f".thanks:has-text('{label}')")
    assert page.inner_text("button.wrong") == "Change"
    assert page.locator(".thanks").count() == 1
    assert [c.labels for c in line.corrections()[before:]] == [("green",), ("blue",)]


def test_the_keyboard_is_enough(page: "Page", line: Line) -> None:
    before = len(line.corrections())
    line.deploy(labels=LABELS)
    drop(page, picture("keys.png", "#321"))
    open_dialog(page, line, 3)
    page.keyboard.press("Escape")
    assert not page.is_visible("#wrong")
    page.focus("button.wrong")
    page.keyboard.press("Enter")
    offered(page)
    page.keyboard.press("Space")  # the first label has the focus
    page.keyboard.press("ArrowRight")
    shoot(page, "keyboard")
    page.keyboard.press("Enter")
    page.wait_for_selector(".thanks")
    assert [c.labels for c in line.corrections()[before:]] == [("blue",)]
    assert page.evaluate("document.activeElement.className") == "wrong"


def test_several_labels_of_many_on_a_phone(page: "Page", line: Line) -> None:
    before = len(line.corrections())
    line.deploy(labels=MANY, task="multi_label")
    page.set_viewport_size({"width": 360, "height": 740})
    drop(page, picture("phone.png", "#777"))
    open_dialog(page, line, len(MANY))
    shoot(page, "phone")
    assert boxes_apart(page, "#wrong .labels", "#wrong footer"), "the labels scroll above it"
    page.click("#wrong label:has-text('red 3')")
    page.fill("#wrong [type=search]", "BLUE 7")
    assert sorted(offered(page)) == ["blue 7", "red 3"], "what is chosen stays in sight"
    page.click("#wrong label:has-text('blue 7')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shoot(page, "phone-chosen")
    page.click("#wrong [type=submit]")
    page.wait_for_selector(".thanks")
    shoot(page, "phone-thanks")
    (correction,) = line.corrections()[before:]
    assert sorted(correction.labels) == ["blue 7", "red 3"]


def test_what_goes_wrong_is_reported_and_can_be_sent_again(page: "Page", line: Line) -> None:
    before = len(line.corrections())
    line.deploy(labels=LABELS)
    drop(page, picture("again.png", "#999"))
    open_dialog(page, line, 3)
    page.click("#wrong label:has-text('green')")
    corrections = line.store / "corrections"
    hidden = corrections.rename(line.store / "elsewhere")
    corrections.write_text("no folder: nothing can be written below it")
    page.click("#wrong [type=submit]")
    page.wait_for_selector("#wrong .problem:not(:empty)")
    assert "send it again later" in page.inner_text("#wrong .problem")
    shoot(page, "problem")
    corrections.unlink()
    hidden.rename(corrections)
    page.click("#wrong [type=submit]")
    page.wait_for_selector(".thanks")
    assert len(line.corrections()) == before + 1


def test_another_site_and_a_guessed_card_get_nothing(page: "Page", line: Line) -> None:
    answer = page.request.get(f"{line.url}/corrections/{'0' * 32}")
    assert answer.status == 503
    assert "drop it again" in answer.json()["error"]
    answer = page.request.post(
        f"{line.url}/corrections/{'0' * 32}",
        data=json.dumps({"labels": ["red"]}),
        headers={"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status == 403
