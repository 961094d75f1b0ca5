"""Several annotators per task: what waits, what is done, and what they disagree about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.annotations.label_index import labelled_view
from assets.dataset.retraining import dataset_labels
from imgclf_dagster.sensors import queue as sensors_queue
from resources.label_studio.types import Overlap
from tests.graph.queue_room import LABELS, Room
from tests.label_studio.annotators import Annotator
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
    open_world: Callable[..., Any],
    photo: Callable[..., bytes],
) -> Room:
    """24 labelled and 40 other pictures, of which tests take copies."""
    world = open_world(tmp_path_factory.mktemp("filled") / "home", labels={"names": LABELS})
    opened = Room(world)
    opened.fill(photo)
    return opened


@pytest.fixture
def room(label_studio: LabelStudioServer, tmp_path: Path, filled: Room) -> Room:
    """A line with a model and a queue of 20, in which each task is for two."""
    opened = filled.copy(tmp_path / "home", label_studio, f"several {tmp_path.name}")
    opened.studio.project.ensure_overlap(Overlap(2, 100))
    opened.embed("train-a")
    opened.build()
    return opened


@pytest.fixture(scope="module")
def two(_label_studio: LabelStudioServer) -> tuple[Annotator, Annotator]:
    server = _label_studio.start()
    return Annotator.invited(server), Annotator.invited(server)


def labels(room: Room) -> dict[str, list[str]]:
    return labelled_view(room.world.store, room.world.line.labels).labels


def tab(room: Room) -> list[dict[str, Any]]:
    """The tasks in the tab "Labels in doubt"; none if there is no such tab."""
    views = room.call("GET", f"/api/dm/views/?project={room.project}")
    if not views:
        return []
    (view,) = views
    assert view["data"]["title"] == "Labels in doubt"
    path = f"/api/tasks/?view={view['id']}&fields=all&resolve_uri=false"
    listed: list[dict[str, Any]] = room.call("GET", path)["tasks"]
    return listed


def data_set(room: Room) -> dict[str, list[str]]:
    """A new data set: image to labels."""
    made = room.world.run("dataset").metadata("dataset")
    return dataset_labels(room.world.store, made["dataset_version"]) or {}


def waiting(room: Room) -> str:
    """What the sensor says; empty if it asks for more tasks."""
    event = dg.AssetMaterialization("embeddings", metadata={"backbone": "none"})
    room.world.instance.report_runless_asset_event(event)
    given = {name: room.world.resource(name) for name in ("store", "line", "label_studio")}
    with dg.build_sensor_context(instance=room.world.instance, resources=given) as context:
        found = sensors_queue.labelling_queue_sensor(context)
    return str(found.skip_message) if isinstance(found, dg.SkipReason) else ""


def test_what_waits_for_a_second_word_is_no_work_for_who_gave_the_first(
    room: Room, two: tuple[Annotator, Annotator]
) -> None:
    first, _ = two
    asked = []
    for _ in range(11):
        task = first.next_task(room.project)
        assert task is not None
        image = task["data"]["sample_id"]
        first.say(task["id"], room.photos[image], room.project)
        asked.append(image)
    assert waiting(room) == ""  # 9 of 20 are left, though none is done
    room.look()
    assert {image: labels(room)[image] for image in asked} == {
        image: [room.photos[image]] for image in asked
    }  # one voice is a label

    found = room.build()

    assert found["labels_per_day"] == 11
    assert found["wanted"] == 22
    assert found["open"] == 22
    assert found["added"] == 13
    assert found["withdrawn"] == 0
    tasks = room.tasks()
    assert set(asked) <= set(tasks)
    assert not any(tasks[image]["is_labeled"] for image in asked)
    assert waiting(room) == "22 tasks wait for annotators, 22 are wanted"


def test_two_who_disagree_are_shown_the_image_again_until_they_agree(
    room: Room, two: tuple[Annotator, Annotator]
) -> None:
    first, second = two
    disputed, agreed, *_ = sorted(room.tasks())
    number = room.task_id(disputed)
    first.say(number, "red", room.project)
    for one in two:
        one.say(room.task_id(agreed), "blue", room.project)
    room.look()
    assert room.build()["to review"] == 0  # one voice contradicts nobody
    theirs = second.say(number, "green", room.project)
    room.look()

    found = room.build()

    assert found["in doubt"] == found["to review"] == 1
    (task,) = tab(room)
    assert task["data"]["sample_id"] == disputed
    assert task["data"]["why"] == "its labels contradict each other: green and red"
    assert len(task["annotations"]) == 2
    assert "contradict each other" in found["why in doubt"]
    assert disputed not in data_set(room)

    second.change(theirs, "red")
    room.look()
    found = room.build()
    assert found["in doubt"] == found["to review"] == 0
    assert tab(room) == []
    assert data_set(room)[disputed] == ["red"]


def test_a_third_voice_settles_it_and_two_against_one_is_an_answer(
    room: Room, two: tuple[Annotator, Annotator], label_studio: LabelStudioServer
) -> None:
    room.studio.project.ensure_overlap(Overlap(3, 100))
    image = min(room.tasks())
    number = room.task_id(image)
    for who, text in zip(two, ("red", "green"), strict=True):
        who.say(number, text, room.project)
    room.look()
    assert room.build()["to review"] == 1  # who is there need not wait for a third
    Annotator.invited(label_studio).say(number, "green", room.project)
    room.look()
    assert room.build()["to review"] == 0
    assert tab(room) == []
    assert labels(room)[image] == ["green"]
