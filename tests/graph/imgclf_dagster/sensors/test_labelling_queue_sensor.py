"""When the sensor of the labelling queue asks for it, on a real Label Studio."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.sensors import queue as sensors_queue
from resources.label_studio.imports import ImportsApi
from tests.graph.queue_room import LABELS, Room
from tests.label_studio.server import LabelStudioServer

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


def test_without_label_studio_nothing_is_asked_for(
    tmp_path: Path, empty_world: Callable[..., Any]
) -> None:
    assert tick(Room(empty_world(tmp_path / "home"))) == "no Label Studio is connected"


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


def labelled_for_training(room: Room) -> list[str]:
    from assets.annotations.label_index import labelled_view
    from assets.dataset.splits.splitting import groups_table

    room.world.run("dataset")
    rows = groups_table(room.world.store).read().to_pylist()
    labels = labelled_view(room.world.store, room.world.line.labels).labels
    return [row["sha256"] for row in rows if row["split"] == "train" and row["sha256"] in labels]


def all_asked(room: Room) -> Room:
    """The same room, with a task for every image: none is left."""
    everything = room.world.with_settings(labelling={"batch_min": 100})
    asked = Room(everything, room.server, room.project, room.photos)
    assert asked.build()["left to label"] == 0
    seen(asked)
    return asked


def test_tasks_deleted_by_hand_are_asked_for_again_once(room: Room) -> None:
    seen(room)
    found = tick(room)
    assert isinstance(found, dg.RunRequest)
    keys = {found.run_key}
    asked = all_asked(room)
    tasks = asked.tasks()
    every = f"projects/{room.project}/tasks"
    for deleted in ("one", every, every):
        assert tick(asked) == "no image is left to label"
        path = f"tasks/{asked.tasks()[min(tasks)]['id']}" if deleted == "one" else deleted
        asked.call("DELETE", f"/api/{path}/")
        found = tick(asked)
        assert isinstance(found, dg.RunRequest)
        keys.add(found.run_key)
        asked.build()
        assert set(asked.tasks()) == set(tasks)
    assert len(keys) == 4  # Dagster takes a key once


def test_a_project_that_was_made_anew_is_filled(room: Room) -> None:
    asked = all_asked(room)
    assert asked.server is not None
    asked.server.delete_project(asked.project)
    asked.project = asked.studio.project.ensure(asked.world.line.labels, LABELS).id
    assert isinstance(tick(asked), dg.RunRequest)
    assert asked.build()["added"] == 30
    assert tick(asked) == "no image is left to label"


def test_a_correction_of_a_labelled_image_leaves_the_others_to_be_asked_for(room: Room) -> None:
    """It takes no image away from those that nobody has labelled."""
    for image in labelled_for_training(room)[:3]:
        room.correct(image, "green")
    asked = room.build()
    assert (asked["added"], asked["in doubt"]) == (20, 3)
    assert asked["left to label"] == 30 - 17


def test_the_sensor_asks_for_corrections_and_for_what_was_cut_short(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(room)
    with monkeypatch.context() as patched:
        patched.setattr(ImportsApi, "import_missing", gone)
        room.refused()
    assert isinstance(tick(room), dg.RunRequest)
    room.build()
    assert isinstance(tick(room), str)
    room.correct(next(iter(room.photos)), "green")
    assert isinstance(tick(room), dg.RunRequest)
    room.build()
    assert isinstance(tick(room), str)


def test_the_sensor_says_that_the_server_is_down(room: Room) -> None:
    seen(room)
    with room.through_proxy() as proxy:
        assert isinstance(tick(room), dg.RunRequest)
        with proxy.down():
            assert proxy.url in str(tick(room))


def gone(*_: Any, **__: Any) -> Any:
    raise RuntimeError("killed here")
