"""Label Studio goes down, is emptied, replaced or refuses us: no label is lost, and none is doubled."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from resources.label_studio.session import RetryTransport
from tests.graph.label_studio_room import IMAGES, Room, open_room, world_of
from tests.label_studio.server import LabelStudioServer
from tests.patience import SOON_S

pytestmark = pytest.mark.graph


@pytest.fixture
def room(
    label_studio: LabelStudioServer,
    tmp_path: Path,
    empty_world: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> Iterator[Room]:
    settings = getattr(request, "param", {})
    with open_room(
        label_studio, request.node.name, tmp_path / "home", empty_world, **settings
    ) as opened:
        yield opened


def test_a_server_that_is_down_or_gone_loses_nothing(room: Room) -> None:
    with room.through_proxy() as proxy:
        room.say(IMAGES[0], "cat")
        assert room.follow() == {IMAGES[0]: ["cat"]}
        room.say(IMAGES[1], "dog")
        with proxy.down():
            room.world.label(IMAGES[4], "fox")
            begun = time.monotonic()
            (request,) = room.tick()  # what an ingest said is found all the same
            assert time.monotonic() - begun < SOON_S
            assert request.asset_selection == [dg.AssetKey("annotations")]
            assert room.world.run("annotations").success
            assert room.tick() == []
            assert "imgclf up --label-studio" in room.skipped
            assert room.labels == {IMAGES[0]: ["cat"], IMAGES[4]: ["fox"]}
        assert room.follow() == {IMAGES[0]: ["cat"], IMAGES[1]: ["dog"], IMAGES[4]: ["fox"]}


def test_a_deleted_project_and_the_next_one_take_no_label_away(
    room: Room, tmp_path: Path, empty_world: Callable[..., Any]
) -> None:
    room.say(IMAGES[0], "cat")
    room.say(IMAGES[1], "dog")
    before = room.follow()
    room.server.delete_project(room.project)
    assert room.tick() == []
    assert str(room.project) in room.skipped
    assert room.labels == before
    room.project = room.server.project("the next one", labels=("cat", "dog", "fox"))
    room.world = world_of(room.server, room.project, tmp_path / "home", empty_world)
    room.add(IMAGES[0])
    assert room.follow() == before
    room.say(IMAGES[0], "fox")
    found = room.follow()
    assert found.keys() == before.keys()  # two words of one person: the later counts
    assert found[IMAGES[0]] == ["fox"]


def test_a_refused_token_is_named_with_the_remedy(
    room: Room, tmp_path: Path, empty_world: Callable[..., Any]
) -> None:
    room.say(IMAGES[0], "cat")
    wrong = {"url": room.server.url, "token": "f" * 40, "project_id": room.project}
    right, room.world = room.world, empty_world(tmp_path / "home", label_studio=wrong)
    assert room.tick() == []
    assert "label_studio.token" in room.skipped
    assert "f" * 40 not in room.skipped
    room.world = right
    assert room.follow() == {IMAGES[0]: ["cat"]}


SELDOM = {"labelling": {"reconcile_every_s": 600, "poll_overlap_s": 0}}
"""Deleted tasks are looked for every ten minutes, as with the settings of a new home."""


@pytest.mark.parametrize("room", [SELDOM], indirect=True)
def test_what_is_saved_on_a_withdrawn_page_comes_back_without_a_run_of_the_queue(
    room: Room,
) -> None:
    room.follow()
    assert room.world.resource("label_studio").withdrawals.withdraw([IMAGES[0]]) == 1
    path = f"/api/tasks/{room.tasks[IMAGES[0]]}/annotations/"  # as an open page saves it
    assert room.http.post(path, json={"result": room.result("cat")}).status_code == 201
    room.say(IMAGES[1], "dog")  # is read before the other is found
    assert room.follow() == {IMAGES[1]: ["dog"]}
    cursor = json.loads(room.cursor or "")
    cursor["label_studio"]["reconciled_at"] = 0  # ten minutes later
    room.cursor = json.dumps(cursor)
    assert room.follow() == {IMAGES[0]: ["cat"], IMAGES[1]: ["dog"]}


@pytest.mark.parametrize("room", [SELDOM], indirect=True)
def test_an_idle_look_asks_little(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken every few seconds: neither all tasks nor all annotations are read again."""
    asked: list[str] = []
    handle = RetryTransport.handle_request

    def counted(self: RetryTransport, request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return handle(self, request)

    room.say(IMAGES[0], "cat")
    room.follow()
    room.tick()
    monkeypatch.setattr(RetryTransport, "handle_request", counted)
    assert room.tick() == []
    assert len(asked) == 2, asked  # the project and its newest task
