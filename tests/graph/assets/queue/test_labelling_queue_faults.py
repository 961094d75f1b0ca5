"""The labelling queue when something goes wrong: nothing lost, nothing doubled, a clear word."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.queue import images as queue_images
from assets.queue.labelling_queue import RETRIES_TAG
from assets.queue.ledger import newest_batches, unfinished
from resources.label_studio.imports import ImportsApi
from resources.label_studio.predictions import PredictionsApi
from resources.label_studio.project import ProjectApi
from resources.label_studio.types import LabelStudioDown, NewTask
from tests.graph.queue_room import LABELS, Room
from tests.label_studio.server import LabelStudioServer
from tests.patience import WAIT_S

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
    open_world: Callable[..., Any],
    photo: Callable[..., bytes],
) -> Room:
    """12 labelled and 30 other pictures, of which tests take copies."""
    world = open_world(tmp_path_factory.mktemp("filled") / "home", labels={"names": LABELS})
    opened = Room(world)
    opened.fill(photo, labelled=4, free=30)
    return opened


@pytest.fixture
def room(label_studio: LabelStudioServer, tmp_path: Path, filled: Room) -> Room:
    opened = filled.copy(tmp_path / "home", label_studio, f"queue {tmp_path.name}")
    opened.embed("train-a")
    return opened


@pytest.fixture
def alone(tmp_path: Path, filled: Room) -> Room:
    """The same without a Label Studio."""
    return Room(filled.world.copy(tmp_path / "home"), photos=dict(filled.photos))


@pytest.mark.parametrize("imported", [0, 7, 20])
def test_an_import_that_was_cut_short_is_completed(
    room: Room, monkeypatch: pytest.MonkeyPatch, imported: int
) -> None:
    whole = ImportsApi.import_missing

    def dies(self: ImportsApi, tasks: Iterable[NewTask], **given: Any) -> Any:
        whole(self, islice(tasks, imported), **given)
        raise LabelStudioDown("http://nowhere does not answer; is it running?")

    with monkeypatch.context() as patched:
        patched.setattr(ImportsApi, "import_missing", dies)
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
        patched.setattr(PredictionsApi, "show_version", gone)
        assert not room.world.run("labelling_queue").success
    assert room.build()["model_version"] == "train-a"
    assert len(room.tasks()) == 20


def gone(*_: Any, **__: Any) -> Any:
    raise RuntimeError("killed here")


def test_two_runs_at_once_leave_one_task_of_each_image(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find nothing in the project, choose the same and send it."""
    both, send = threading.Barrier(2), ImportsApi._send

    def send_together(*given: Any) -> Any:
        both.wait(WAIT_S)
        return send(*given)

    def build(instance: dg.DagsterInstance) -> bool:
        found: bool = replace(room.world, instance=instance).run("labelling_queue").success
        return found

    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as threads:
        patched.setattr(ImportsApi, "_send", send_together)
        instances = [dg.DagsterInstance.ephemeral() for _ in range(2)]
        assert list(threads.map(build, instances)) == [True, True]
    path = f"/api/tasks/?project={room.project}&page_size=100"
    tasks = room.call("GET", path)["tasks"]
    assert len(tasks) == 40
    assert unfinished(room.world.store) == []
    answered = max(task["id"] for task in tasks)
    body = {"result": [], "was_cancelled": True, "project": room.project}
    room.call("POST", f"/api/tasks/{answered}/annotations/", **body)
    found = room.build()
    kept = room.tasks()  # which looks that each image is there once
    assert len(kept) == 20 + found["added"]
    assert answered in {task["id"] for task in kept.values()}


def test_a_server_that_is_down_or_a_project_that_is_gone_is_said(room: Room) -> None:
    assert room.server is not None
    with room.through_proxy() as proxy:
        with proxy.down():
            assert proxy.url in room.refused()
            assert room.ledger() == []
        room.server.delete_project(room.project)
        assert "imgclf" in room.refused()
        room.project = room.studio.project.ensure(room.world.line.labels, LABELS).id
        assert room.build()["added"] == 20


@pytest.mark.parametrize("tags", [{}, {RETRIES_TAG: "0"}])
def test_a_server_that_starts_anew_is_tried_again_unless_somebody_waits(
    room: Room, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    read = ProjectApi.read

    def down(_: ProjectApi) -> Any:
        monkeypatch.setattr(ProjectApi, "read", read)
        raise LabelStudioDown("http://nowhere does not answer; is it running?")

    monkeypatch.setattr(ProjectApi, "read", down)
    job = room.world.definitions.get_repository_def().get_implicit_global_asset_job_def()
    done = job.execute_in_process(
        instance=room.world.instance,
        asset_selection=[dg.AssetKey("labelling_queue")],
        tags=tags,
        raise_on_error=False,
    )
    assert done.success == (not tags)
    assert len(room.tasks()) == (0 if tags else 20)


def test_a_picture_that_was_spoilt_stops_nothing(room: Room) -> None:
    for number in range(10):
        room.world.tamper(f"raw/new/{number}.png", b"spoilt")
    assert room.build()["added"] == 20


def test_what_is_no_batch_or_no_correction_is_named(room: Room) -> None:
    room.world.store.put("corrections/notes.txt", b"mine")
    assert room.build()["added"] == 20
    room.world.store.put("queue/0000000000001-mine.json", b"{}")
    assert room.build()["open"] == 20
    messages: list[str] = []
    assert list(newest_batches(room.world.store, messages.append))
    assert len(messages) == 1
    assert "queue/0000000000001-mine.json" in messages[0]


def test_without_label_studio_it_shows_what_it_would_ask(alone: Room) -> None:
    alone.embed("train-a")
    found = alone.build()
    assert "imgclf up --label-studio" in found["problems"]
    assert found["added"] == 0
    assert found["open"] == 0
    assert "the model is unsure" in found["first"]
    assert alone.ledger() == []


def test_what_label_studio_cannot_show_is_named_and_never_chosen(
    alone: Room, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_images, "can_show", lambda _, key: "?" not in key)  # as from S3
    for number in range(40):
        alone.add(f"odd/{number}?.png", photo(2000 + number, "red"), "red")
    alone.index()
    found = Room(alone.world.with_settings(labelling={"batch_min": 100})).build()
    assert found["left to label"] == 30  # nothing sends them anywhere, so they wait here
    assert "| exploration | 30 |" in found["reasons"]
    assert "40 images, which Label Studio cannot show from S3" in found["problems"]
    assert "'raw/odd/0?.png'" in found["problems"]
