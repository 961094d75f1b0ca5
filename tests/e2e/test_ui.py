"""The predictor in a real browser, before a fake runtime and before the real endpoint host."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from serving.deployments import DeploymentRecord, record_key
from tests.e2e.foreign_page import FOREIGN_HOST, attack, foreign_page, foreign_site
from tests.e2e.predictor_page import (
    FakeRuntime,
    drop,
    nothing_deployed,
    picture,
    running,
    says,
    wait_for_cards,
)
from tests.patience import WAIT_S, wait_for
from tests.ports import free_port
from tests.stores import make_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture(scope="module")
def endpoint_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the predictor keeps what it is given."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def predictor_url(endpoint_port: int, uploads: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["--endpoint-url", f"http://127.0.0.1:{endpoint_port}", "--project", "imgclf"]
    kept = {"GRADIO_TEMP_DIR": str(uploads)}
    with running("ui", *arguments, "--port", str(port), url=f"{url}/ping", **kept):
        yield url


@pytest.fixture
def page(browser: "Browser", predictor_url: str) -> Iterator["Page"]:
    """The page, freshly opened. Fails if it asked anything of another host."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(predictor_url)
    tab.wait_for_selector("#files input[type=file]", state="attached")
    yield tab
    tab.close()
    assert [url for url in asked if not url.startswith((predictor_url, "data:", "blob:"))] == []


@pytest.fixture
def fake(endpoint_port: int) -> Iterator[FakeRuntime]:
    server = FakeRuntime(endpoint_port)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def column(page: "Page", stage: str) -> str:
    return page.inner_text(f"section[data-stage={stage}]")


@pytest.mark.parametrize("host", ["127.0.0.1", FOREIGN_HOST])
def test_a_page_of_another_site_gives_it_nothing_and_reads_nothing(
    browser: "Browser", predictor_url: str, uploads: Path, host: str
) -> None:
    kept = set(uploads.rglob("*"))
    with foreign_site() as site, foreign_page(browser, host, site) as page:
        for path in ("upload", "queue/join", "config", "run/predict"):
            came_to = attack(page, f"{predictor_url}/gradio_api/{path}", '{"data": []}')
            assert came_to["get"] == came_to["post as json"] == ["TypeError: Failed to fetch"]
    assert set(uploads.rglob("*")) == kept
    rebound = browser.new_page()
    answer = rebound.goto(predictor_url.replace("127.0.0.1", FOREIGN_HOST))
    assert answer is not None
    assert answer.status == 421
    rebound.close()


def test_it_rests_while_nobody_asks(predictor_url: str) -> None:
    """It wakes some forty times a second; with Gradio's own values some thousand times."""
    port = int(predictor_url.rsplit(":", 1)[1])
    (predictor,) = {
        psutil.Process(one.pid)
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }

    def wakes_s() -> float:
        """Wakes per second; a busy machine makes them fewer."""
        before, begun = predictor.num_ctx_switches().voluntary, time.monotonic()
        time.sleep(1)
        passed = time.monotonic() - begun
        return (predictor.num_ctx_switches().voluntary - before) / passed

    wait_for(lambda: wakes_s() < 150)


def test_staging_and_production_side_by_side(page: "Page", fake: FakeRuntime) -> None:
    fake.answers["imgclf-staging"] = says("train-new", cat=0.7, dog=0.3)
    fake.answers["imgclf-prod"] = says("train-old", dog=0.6, cat=0.4)
    drop(page, picture("my photo.png"))
    assert column(page, "staging").split() == [
        "Staging",
        "train-new",
        *["cat", "70.0", "%", "dog", "30.0", "%"],
    ]
    assert column(page, "prod").split() == [
        "Production",
        "train-old",
        *["dog", "60.0", "%", "cat", "40.0", "%"],
    ]
    assert "disagree" in page.inner_text(".card")
    assert "my photo.png" in page.inner_text(".card figcaption")
    left, right = (page.locator(f"section[data-stage={stage}]") for stage in ("staging", "prod"))
    boxes = [section.bounding_box() for section in (left, right)]
    assert None not in boxes
    assert len({box["y"] for box in boxes if box}) == 1
    assert page.eval_on_selector(".card img", "image => image.naturalWidth") == 60


def test_many_images_and_one_that_is_none(page: "Page", fake: FakeRuntime) -> None:
    fake.answers["imgclf-staging"] = fake.answers["imgclf-prod"] = says("train-1", cat=1.0)
    bad = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"hello"}
    drop(page, picture("1.png"), bad, *(picture(f"{index}.png") for index in range(2, 8)))
    names = page.locator(".card figcaption span").all_inner_texts()
    assert names == ["1.png", "broken.jpg", *(f"{index}.png" for index in range(2, 8))]
    assert page.locator(".problem").all_inner_texts() == ["The image cannot be read"]
    assert "The image cannot be read" in page.locator(".card").nth(1).inner_text()
    drop(page, picture("next.png"))
    assert page.locator(".card figcaption span").all_inner_texts() == ["next.png"]


def test_an_oversized_file_is_said_plainly(page: "Page", fake: FakeRuntime, tmp_path: Path) -> None:
    (tmp_path / "big.tif").write_bytes(bytes(26 * 1024**2))
    page.set_input_files("#files input[type=file]", tmp_path / "big.tif")
    wait_for_cards(page, 1)
    assert page.inner_text(".problem") == "26.0 MB is more than the 25 MB allowed"


def test_only_production_deployed(page: "Page", fake: FakeRuntime) -> None:
    fake.answers["imgclf-staging"] = nothing_deployed
    fake.answers["imgclf-prod"] = says("train-old", dog=0.6, cat=0.4)
    drop(page, picture())
    assert "imgclf-staging serves no model" in column(page, "staging")
    assert "60.0 %" in column(page, "prod")
    assert page.locator(".problem").count() == 0  # it is a state, not a fault


def test_an_endpoint_that_is_down_is_said_plainly(page: "Page", endpoint_port: int) -> None:
    drop(page, picture())
    assert page.inner_text(".problem") == (
        f"No answer from http://127.0.0.1:{endpoint_port}. Is imgclf up running?"
    )


def test_a_pasted_picture_is_taken(page: "Page", fake: FakeRuntime) -> None:
    fake.answers["imgclf-staging"] = fake.answers["imgclf-prod"] = says("train-1", cat=1.0)
    paste = """bytes => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([new Uint8Array(bytes)], 'image.png', {type: 'image/png'}));
        const event = new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true});
        return !document.body.dispatchEvent(event);  // true where somebody took it
    }"""
    # Gradio shows the page before it runs the script that listens.
    wait_for(lambda: page.evaluate(paste, list(picture()["buffer"])))
    wait_for_cards(page, 1)
    assert "100.0 %" in column(page, "prod")


def test_on_a_phone_nothing_is_cut_off(page: "Page", fake: FakeRuntime) -> None:
    fake.answers["imgclf-staging"] = fake.answers["imgclf-prod"] = says(
        "train-0123456789ab",
        **{"a label that goes on and on and on and on and on": 0.99, "b": 0.01},
    )
    page.set_viewport_size({"width": 360, "height": 740})
    drop(page, picture("a-very-long-file-name-from-a-camera-20240131-235959.png"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = [
        page.locator(f"section[data-stage={stage}]").bounding_box() for stage in ("staging", "prod")
    ]
    assert None not in boxes
    assert len({box["x"] for box in boxes if box}) == 1


def test_the_real_endpoint_host(
    page: "Page",
    endpoint_port: int,
    publish_model: Callable[..., tuple[str, str]],
    tmp_path: Path,
) -> None:
    digest, model_key = publish_model(tmp_path, "train-aaaaaaaaaaaa")
    record = DeploymentRecord.at(
        1_700_000_000_000,
        stage="prod",
        model_version="train-aaaaaaaaaaaa",
        digest=digest,
        model_key=model_key,
        deployed_by="tests",
        reason="",
    )
    make_store(tmp_path)
    place = tmp_path / record_key(record)
    place.parent.mkdir(parents=True)
    place.write_text(record.model_dump_json(), encoding="utf-8")
    base = f"http://127.0.0.1:{endpoint_port}"
    arguments = [
        "--store-url",
        tmp_path.as_uri(),
        "--project",
        "imgclf",
        "--port",
        str(endpoint_port),
    ]
    with running("serving", *arguments, url=f"{base}/ping"):
        url = f"{base}/endpoints/imgclf-prod"
        wait_for(lambda: httpx.get(url, timeout=WAIT_S).json()["status"] == "InService")
        bad = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"hello"}
        drop(page, picture(colour="blue"), bad)
    assert column(page, "prod").split()[:3] == ["Production", "train-aaaaaaaaaaaa", "blue"]
    assert "imgclf-staging serves no model" in column(page, "staging")
    assert "cannot be read" in page.locator(".card").nth(1).inner_text()
