"""Dagster's web server as ours starts it: its own application, behind the guard, in process."""

from collections.abc import Iterator
from typing import Any

import click
import dagster as dg
import dagster_webserver.app
import pytest
from click.testing import CliRunner
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.webserver import DagsterWebserver
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from imgclf_dagster import webserver

pytestmark = pytest.mark.graph

URL = "http://127.0.0.1:3000"
SOCKET = "ws://127.0.0.1:3000/graphql"
KEY = dg.AssetKey("images")
WIPE = 'mutation {wipeAssets(assetPartitionRanges: [{assetKey: {path: ["images"]}}]) {__typename}}'
OWN = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
FOREIGN = (
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Host": "evil.example:3000", **OWN},
)


def parsed(*arguments: str) -> None:
    """Read a command line, without running what it says."""
    webserver.command.make_context("dagster-webserver", list(arguments))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, TestClient]]:
    """An instance, and the application that Dagster makes of it once our command line is read."""
    with (
        pytest.MonkeyPatch.context() as patch,
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), version="9.9") as context,
    ):
        patch.setattr(dagster_webserver.app, "DagsterWebserver", DagsterWebserver)
        patch.setattr(webserver.GuardedWebserver, "allowed_hosts", ())
        parsed("--allow-host", "dagster.example.org")
        app = dagster_webserver.app.create_app_from_workspace_process_context(context)
        with TestClient(app, base_url=URL) as client:
            yield instance, client


@pytest.fixture
def instance(served: tuple[Any, TestClient]) -> dg.DagsterInstance:
    """With one asset, which was materialized."""
    made: dg.DagsterInstance = served[0]
    if made.all_asset_keys() != [KEY]:
        made.wipe_assets(made.all_asset_keys())
        made.report_runless_asset_event(dg.AssetMaterialization(KEY))
    return made


@pytest.fixture
def client(served: tuple[Any, TestClient]) -> TestClient:
    return served[1]


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reading a command line does to the process is undone with the test."""
    monkeypatch.setattr(dagster_webserver.app, "DagsterWebserver", DagsterWebserver)
    monkeypatch.setattr(webserver.GuardedWebserver, "allowed_hosts", ())


def is_there(instance: dg.DagsterInstance) -> bool:
    return instance.get_latest_materialization_event(KEY) is not None


def test_the_page_its_queries_and_its_mutations_work(
    client: TestClient, instance: dg.DagsterInstance
) -> None:
    answer = client.post("/graphql", json={"query": "{version}"}, headers=OWN)
    assert answer.json() == {"data": {"version": "9.9"}}
    assert "GraphiQL" in client.get("/graphql", headers={"Accept": "text/html,*/*"}).text
    page = client.get("/", headers={"Sec-Fetch-Site": "none"})
    assert page.status_code == 200
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    behind = {"Host": "dagster.example.org", "Origin": "https://dagster.example.org"}
    typed = {**behind, "Content-Type": "application/json; charset=utf-8"}
    query = b'{"query": "{version}"}'
    assert client.post("/graphql", content=query, headers=typed).status_code == 200
    assert is_there(instance)
    client.post("/graphql", json={"query": WIPE})  # a program, which says nothing of itself
    assert not is_there(instance), "a mutation that is meant does something"


def test_a_websocket_of_its_own_page_is_opened(client: TestClient) -> None:
    for headers in ({}, OWN):
        with client.websocket_connect(SOCKET, ["graphql-ws"], headers=headers) as socket:
            socket.send_json({"type": "connection_init"})
            assert socket.receive_json() == {"type": "connection_ack"}
    for headers in FOREIGN:
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect(SOCKET, ["graphql-ws"], headers=headers),
        ):
            pass


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("GET", {"params": {"query": WIPE}}),
        ("GET", {"params": {"query": WIPE}, "headers": {"Accept": "text/html"}}),
        ("GET", {"params": {"query": WIPE}, "headers": {"Content-Type": "application/json"}}),
        ("HEAD", {"params": {"query": WIPE}}),
        ("POST", {"params": {"query": WIPE}}),
        ("POST", {"data": {"query": WIPE}}),
        ("POST", {"data": {"query": WIPE}, "files": {"file": b"1"}}),
        ("POST", {"content": WIPE, "headers": {"Content-Type": "application/graphql"}}),
        ("POST", {"json": {"query": WIPE}, "headers": {"Content-Type": "text/plain"}}),
        (
            "POST",
            {
                "json": {"query": WIPE},
                "headers": {"Content-Type": "text/plain; application/json"},
            },
        ),
        (
            "POST",
            {
                "content": b'{"query": "mutation..."}',
                "headers": [("Content-Type", "application/json"), ("Content-Type", "text/plain")],
            },
        ),
        *(("POST", {"json": {"query": WIPE}, "headers": headers}) for headers in FOREIGN),
    ],
)
def test_graphql_is_posted_as_json_by_its_own_page_alone(
    client: TestClient,
    instance: dg.DagsterInstance,
    method: str,
    options: dict[str, Any],
) -> None:
    for path in ("/graphql", "/graphql%0A", "/%67raphql"):
        answer = client.request(method, path, **options)
        assert is_there(instance)
        assert answer.status_code in {403, 405, 415, 421}
        assert method == "HEAD" or answer.text.startswith("refused: ")


@pytest.mark.parametrize("kind", ["materialization", "check", "observation"])
def test_nothing_is_reported_by_a_foreign_page(
    client: TestClient, instance: dg.DagsterInstance, kind: str
) -> None:
    path = f"/report_asset_{kind}/another?check_name=c&passed=true&data_version=1"
    for headers in FOREIGN:
        assert client.post(path, headers=headers).status_code in {403, 421}
        form = client.post(path, headers=headers, data={"asset_key": "another"})
        assert form.status_code in {403, 421}
    assert instance.all_asset_keys() == [KEY]
    if kind == "materialization":
        assert client.post(path).status_code == 200, "a program may"
        assert dg.AssetKey("another") in instance.all_asset_keys()


def test_nothing_is_read_by_a_foreign_page(client: TestClient) -> None:
    for path in ("/", "/server_info", "/logs/x.err", "/download_debug/1", "/notebook"):
        for headers in FOREIGN:
            assert client.get(path, headers=headers).status_code in {403, 421}


def test_a_load_balancer_finds_it_healthy(client: TestClient) -> None:
    asks = {"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
    for address in ("10.0.1.5:3000", "10.0.0.9", "[fd00::5]:3000"):
        assert client.get("/server_info", headers={**asks, "Host": address}).status_code == 200
        assert client.get("/", headers={**asks, "Host": address}).status_code == 421


@pytest.mark.usefixtures("stock")
def test_its_options_are_those_of_dagster_and_ours() -> None:
    output = CliRunner().invoke(webserver.command, ["--help"]).output
    assert "--allow-host" in output
    assert "--workspace" in output
    parsed("--host", "0.0.0.0", "--port", "3000", "--read-only", "--allow-host", "A.example")
    assert webserver.GuardedWebserver.allowed_hosts == ("A.example",)


@pytest.mark.usefixtures("stock")
def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="name each host in full"):
        parsed("--allow-host", "*")


@pytest.mark.usefixtures("stock")
def test_a_web_server_that_cannot_be_guarded_is_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dagster_webserver.app, "DagsterWebserver", object)
    with pytest.raises(click.ClickException, match="cannot be protected"):
        parsed()


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b"\xff\xfe", b"", b"[" * 100_000, b"{"])
def test_a_body_that_is_no_query_is_refused_without_a_traceback(
    client: TestClient, body: bytes
) -> None:
    typed = {"Content-Type": "application/json"}  # the client raises what the application does
    answer = client.post("/graphql", content=body, headers=typed)
    assert answer.status_code == 400
    assert "not one JSON object" in answer.text
