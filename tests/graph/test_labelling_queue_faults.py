"""The labelling queue when something goes wrong: nothing lost, nothing doubled, a clear word."""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.queue_ledger import newest_batches, unfinished
from imgclf_dagster import sensors_queue
from resources.label_studio import LabelStudio, LabelStudioDown, NewTask
from tests.graph.queue_room import LABELS, Room
from tests.label_studio.server import LabelStudioServer

pytestmark = [pytest.mark.graph, pytest.mark.timeout(300)]


def access_to(server: LabelStudioServer, title: str) -> dict[str, Any]:
    return {"url": server.url, "token": server.token, "project_title": title[:50]}


@pytest.fixture
def room(
    label_studio: LabelStudioServer,
    tmp_path: Path,
    empty_world: Callable[..., Any],
    photo: Callable[..., bytes],
) -> Room:
    access = access_to(label_studio, f"queue {tmp_path.name}")
    world = empty_world(tmp_path / "home", label_studio=access, labels={"names": LABELS})
    opened = Room(world, label_studio)
    opened.project = opened.studio.ensure_project(world.line.labels, LABELS).id
    opened.fill(photo, labelled=4, free=30)
    opened.embed("train-a")
    return opened


@pytest.fixture
def alone(tmp_path: Path, empty_world: Callable[..., Any], photo: Callable[..., bytes]) -> Room:
    """The same without a Label Studio."""
    opened = Room(empty_world(tmp_path / "home", labels={"names": LABELS}))
    opened.fill(photo, labelled=4, free=30)
    return opened


@pytest.mark.parametrize("imported", [0, 7, 20])
def test_an_import_that_was_cut_short_is_completed(
    room: Room, monkeypatch: pytest.MonkeyPatch, imported: int
) -> None:
    whole = LabelStudio.import_tasks

    def dies(self: LabelStudio, tasks: Iterable[NewTask], **given: Any) -> Any:
        whole(self, islice(tasks, imported), **given)
        raise LabelStudioDown("http://nowhere does not answer; is it running?")

    with monkeypatch.context() as patched:
        patched.setattr(LabelStudio, "import_tasks", dies)
        assert "does not answer" in room.refused()
    assert len(room.tasks()) == imported
    assert room.ledger() == ["json"]
    (batch,) = unfinished(room.world.store)
    room.embed("train-bb", sure=4.0)  # the world goes on meanwhile
    found = room.build()
    assert found["batches cut short before"] == batch.batch
    assert found["added"] == 20 - imported
    assert found["open"] == 20
    assert set(room.tasks()) == {image.sha256 for image in batch.images}
    assert found["model_version"] == "train-bb"
    assert {task["predictions"][-1]["model_version"] for task in room.tasks().values()} == {
        "train-bb"
    }
    assert unfinished(room.world.store) == []
    assert len(list(newest_batches(room.world.store))) == 1


def test_a_kill_before_predictions_are_shown_is_made_up_for(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(LabelStudio, "show_model_version", gone)
        assert not room.world.run("labelling_queue").success
    assert room.build()["model_version"] == "train-a"
    assert len(room.tasks()) == 20


def gone(*_: Any, **__: Any) -> Any:
    raise ConnectionError("killed here")


def test_a_server_that_is_down_or_a_project_that_is_gone_is_said(room: Room) -> None:
    assert room.server is not None
    room.server.stop()
    assert room.server.url in room.refused()
    assert room.ledger() == []
    room.server.start()
    room.server.delete_project(room.project)
    assert "imgclf" in room.refused()
    room.project = room.studio.ensure_project(room.world.line.labels, LABELS).id
    assert room.build()["added"] == 20


def test_a_picture_that_was_spoilt_stops_nothing(room: Room) -> None:
    for number in range(10):
        room.world.tamper(f"raw/new/{number}.png", b"spoilt")
    assert room.build()["added"] == 20


def test_what_is_no_batch_or_no_correction_is_named(room: Room) -> None:
    room.world.store.put("corrections/notes.txt", b"mine")
    assert room.build()["added"] == 20
    room.world.store.put("queue/0000000000001-mine.json", b"{}")
    assert "queue/0000000000001-mine.json" in room.refused()


def test_without_label_studio_it_shows_what_it_would_ask(alone: Room) -> None:
    alone.embed("train-a")
    found = alone.build()
    assert "imgclf up --label-studio" in found["problems"]
    assert found["added"] == 0
    assert found["open"] == 0
    assert "the model is unsure" in found["first"]
    assert alone.ledger() == []
    assert tick(alone) == "no Label Studio is connected"


# --- the sensor ------------------------------------------------------------------------------


def tick(room: Room) -> str | dg.RunRequest:
    """What the sensor says or asks for."""
    given = {name: room.world.resource(name) for name in ("store", "line", "label_studio")}
    with dg.build_sensor_context(instance=room.world.instance, resources=given) as context:
        found = sensors_queue.labelling_queue_sensor(context)
    if isinstance(found, dg.SkipReason):
        return str(found.skip_message)
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or []
    assert request.asset_selection == [dg.AssetKey("labelling_queue")]
    return request


def seen(room: Room) -> None:
    """``embeddings`` was materialized."""
    event = dg.AssetMaterialization("embeddings", metadata={"backbone": "none"})
    room.world.instance.report_runless_asset_event(event)


def test_the_sensor_asks_when_the_queue_runs_low(room: Room) -> None:
    assert "embeddings come first" in str(tick(room))
    seen(room)
    assert isinstance(tick(room), dg.RunRequest)
    room.build()
    assert tick(room) == "20 tasks wait for annotators, 20 are wanted"
    skip = {"result": [], "was_cancelled": True, "project": room.project}
    for task in list(room.tasks().values())[:10]:
        room.call("POST", f"/api/tasks/{task['id']}/annotations/", **skip)
    first, second = tick(room), tick(room)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key == second.run_key


def test_the_sensor_asks_for_corrections_and_for_what_was_cut_short(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(room)
    with monkeypatch.context() as patched:
        patched.setattr(LabelStudio, "import_tasks", gone)
        room.refused()
    assert isinstance(tick(room), dg.RunRequest)
    room.build()
    assert isinstance(tick(room), str)
    room.correct(next(iter(room.photos)), "green")
    assert isinstance(tick(room), dg.RunRequest)
    room.build()
    assert isinstance(tick(room), str)


def test_the_sensor_says_that_the_server_is_down(room: Room) -> None:
    assert room.server is not None
    seen(room)
    room.server.stop()
    assert room.server.url in str(tick(room))
