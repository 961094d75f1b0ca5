"""What a page of another site can do to Dagster's web server, in a real browser: nothing.

And what its own pages need works: the launchpad, and the websocket on which a run is told.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.foreign_page import (
    FOREIGN_HOST,
    WAYS,
    Site,
    attack,
    foreign_page,
    foreign_site,
    opened,
)
from tests.e2e.predictor_page import running
from tests.patience import WAIT_S
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

DEFINITIONS = """
import dagster as dg

@dg.asset
def images(): ...

@dg.op
def say(): ...

@dg.job
def speak(): say()

defs = dg.Definitions([images], jobs=[speak])
"""
WIPE = 'mutation {wipeAssets(assetPartitionRanges: [{assetKey: {path: ["images"]}}]) {__typename}}'
LAUNCH = (
    'mutation {launchRun(executionParams: {mode: "default", runConfigData: {}, selector: {'
    'repositoryLocationName: "line.py", repositoryName: "__repository__", pipelineName: "speak"'
    "}}) {__typename}}"
)
STATE = """{
  assetsOrError {... on AssetConnection {nodes {key {path} assetMaterializations {runId}}}}
  runsOrError {... on Runs {results {runId}}}
}"""
WS_PROTOCOL = "graphql-ws"


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The web server as ``imgclf up`` starts it, with one asset that was made once."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    (home / "line.py").write_text(DEFINITIONS)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["--port", str(port), "--python-file", str(home / "line.py")]
    answers = f"{url}/server_info"
    with running("imgclf_dagster.webserver", *arguments, url=answers, DAGSTER_HOME=str(home)):
        httpx.post(f"{url}/report_asset_materialization/images", trust_env=False)
        yield url


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with foreign_site() as server:
        yield server


def state(url: str) -> Any:
    answer = httpx.post(f"{url}/graphql", json={"query": STATE}, trust_env=False, timeout=WAIT_S)
    return answer.json()["data"]


def graphql(url: str, mutation: str) -> tuple[str, str]:
    """An address in which a mutation stands, and a body that says it."""
    return f"{url}/graphql?query={quote(mutation)}", json.dumps({"query": mutation})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", FOREIGN_HOST])
def test_a_page_of_another_origin_launches_wipes_and_reads_nothing(
    browser: "Browser", dagster: str, site: Site, host: str
) -> None:
    before = state(dagster)
    with foreign_page(browser, host, site) as page:
        for mutation in (LAUNCH, WIPE):
            came_to = attack(page, *graphql(dagster, mutation))
            assert came_to["get"] == came_to["post as json"] == ["TypeError: Failed to fetch"]
        attack(page, f"{dagster}/report_asset_materialization/another", "{}")
        assert attack(page, f"{dagster}/", "")["get"] == ["TypeError: Failed to fetch"]
        assert not opened(page, f"{dagster}/graphql", WS_PROTOCOL)
        # Nor can a click be caught: no frame holds a page of the server.
        inside = [frame.content() for frame in page.frames if frame.url.startswith(dagster)]
        assert not [content for content in inside if "dagster" in content.replace(dagster, "")]
    assert state(dagster) == before


def test_a_page_whose_name_was_pointed_here_gets_nothing(browser: "Browser", dagster: str) -> None:
    before = state(dagster)
    rebound = dagster.replace("127.0.0.1", FOREIGN_HOST)
    page = browser.new_page()
    answer = page.goto(f"{rebound}/")
    assert answer is not None
    assert answer.status == 421
    assert "web.allowed_hosts" in page.inner_text("body")
    # To the browser, what asks from here is of one origin with the server.
    for mutation in (LAUNCH, WIPE):
        came_to = attack(page, *graphql(rebound, mutation))
        assert [came_to[way][1] for way in ("get", "post as text", "post as json")] == [421] * 3
    assert not opened(page, f"{rebound}/graphql", WS_PROTOCOL)
    page.close()
    assert state(dagster) == before


def test_the_attacks_reach_a_server_without_a_guard(browser: "Browser", site: Site) -> None:
    """They would tell: nothing in the browser holds them back."""
    with foreign_site() as victim, foreign_page(browser, "127.0.0.1", site) as page:
        attack(page, f"http://127.0.0.1:{victim.port}/graphql", "{}")
    arrived = {by for method, by in victim.asked if method != "OPTIONS"}
    asked_first = {by for method, by in victim.asked if method == "OPTIONS"}
    assert asked_first == {"post as json"}, "and it was not allowed"
    assert arrived == set(WAYS) - asked_first


def test_a_run_is_launched_from_the_page_and_told_on_a_websocket(
    browser: "Browser", dagster: str
) -> None:
    before = len(state(dagster)["runsOrError"]["results"])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    refused: list[str] = []
    messages: list[str] = []
    page.on("response", lambda r: refused.append(f"{r.status} {r.url}") if r.status > 399 else None)
    page.on("websocket", lambda s: s.on("framereceived", lambda frame: messages.append(str(frame))))
    page.goto(f"{dagster}/locations/line.py/jobs/speak/playground")
    page.locator("button:enabled", has_text="Launch Run").click()
    page.get_by_text("Run queued").wait_for()
    while not any("pipelineRunLogs" in frame for frame in messages):
        page.wait_for_timeout(100)  # by the test's own limit
    page.close()
    assert refused == []
    assert len(state(dagster)["runsOrError"]["results"]) == before + 1
