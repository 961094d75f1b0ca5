"""The labelling queue on a real Label Studio: what is asked, why, once, and what the model says."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from assets.queue.ledger import newest_batches, unfinished
from assets.records.labelling_queue import LabellingQueueRecord
from assets.records.materializations import newest_materialization
from labelling.selection.mix import REASONS
from resources.label_studio import predictions as label_studio_predictions
from resources.label_studio.connection import Connection
from resources.label_studio.types import Prelabel
from tests.graph.queue_room import LABELS, Room
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
    open_world: Callable[..., Any],
    photo: Callable[..., bytes],
) -> Callable[[str], Room]:
    """``filled(task)``: 24 labelled and 40 other pictures, of which tests take copies."""

    @cache
    def fill(task: str) -> Room:
        home = tmp_path_factory.mktemp("filled") / "home"
        opened = Room(open_world(home, labels={"names": LABELS, "task": task}))
        opened.fill(photo)
        return opened

    return fill


@pytest.fixture
def room(
    label_studio: LabelStudioServer,
    tmp_path: Path,
    filled: Callable[[str], Room],
    request: pytest.FixtureRequest,
) -> Room:
    """24 labelled and 40 other pictures, and a project whose page has their labels."""
    before = filled(getattr(request, "param", "single_label"))
    return before.copy(tmp_path / "home", label_studio, f"queue {tmp_path.name}")


def shown(room: Room) -> str:
    """Whose predictions annotators see."""
    version: str = room.call("GET", f"/api/projects/{room.project}/")["model_version"]
    return version


def test_what_is_worth_a_persons_time_is_asked_with_the_reason_and_the_models_word(
    room: Room,
) -> None:
    room.embed("train-a")
    found = room.build()
    tasks = room.tasks()
    assert len(tasks) == found["open"] == found["added"] == 20
    assert found["left to label"] == 20
    (batch,) = newest_batches(room.world.store)
    assert {image.sha256 for image in batch.images} == set(tasks)
    assert room.ledger() == ["done", "json"]
    for image in batch.images:
        task = tasks[image.sha256]
        assert task["data"]["why"] == image.why
        assert task["data"]["uri"] == image.key
        assert task["data"]["image"] == f"/data/local-files/?d={image.key}"
        assert task["meta"]["batch"] == batch.batch
        assert set(task["meta"]["reasons"]) <= set(REASONS)
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "train-a"
        assert prediction["score"] == pytest.approx(image.priority)
        region = prediction["result"][0]
        assert region["value"]["choices"] == list(image.labels)
        assert sum(region["meta"]["probs"].values()) == pytest.approx(1, abs=1e-3)
    assert shown(room) == found["model_version"] == "train-a"
    for picture in ("images", "map"):
        assert "(data:image/" in found[picture]
    assert "| uncertainty |" in found["reasons"]
    assert "the model is unsure" in found["first"]
    assert str(room.project) in found["project"]


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles by which a project was looked up."""
    titles: list[str] = []
    find = Connection.find_projects

    def noted(self: Connection, title: str) -> list[int]:
        titles.append(title)
        return find(self, title)

    monkeypatch.setattr(Connection, "find_projects", noted)
    return titles


def test_the_same_again_asks_nothing_twice(room: Room, looked_up: list[str]) -> None:
    room.embed("train-a")
    looked_up.clear()
    before = room.world.run("labelling_queue")
    again = room.world.run("labelling_queue")
    assert {looked_up.count(title) for title in looked_up} == {2}  # once a run
    assert again.metadata("labelling_queue")["added"] == 0
    assert len(room.tasks()) == 20
    assert room.ledger() == ["done", "json"]
    assert again.metadata("labelling_queue")["open"] == 20
    assert before.metadata("labelling_queue")["open"] == 20


def test_a_few_labels_later_it_is_filled_up_with_others(room: Room) -> None:
    room.embed("train-a")
    room.build()
    first = set(room.tasks())
    for image in sorted(first)[:3]:
        room.answer(image, room.photos[image])
    assert room.build()["added"] == 0  # not worth a choice yet
    for image in sorted(first)[3:5]:
        room.answer(image, room.photos[image])
    found = room.build()
    assert found["added"] == 5
    assert found["open"] == 20
    assert len(room.tasks()) == 25
    assert found["labels_per_day"] == 5


def test_another_model_speaks_on_open_tasks_and_they_are_ranked_again(room: Room) -> None:
    room.embed("train-a")
    room.build()
    answered = min(room.tasks())
    room.answer(answered, room.photos[answered])
    before = scores(room)
    room.embed("train-bb", sure=4.0)
    found = room.build()
    assert found["prelabelled"] == 19
    assert shown(room) == found["model_version"] == "train-bb"
    after = scores(room)
    assert {version for version, _ in after.values()} == {"train-bb"}
    assert set(after) == set(before) - {answered}
    assert sorted(score for _, score in after.values()) == pytest.approx(
        sorted(score for sha, (_, score) in before.items() if sha in after)
    )
    assert [after[sha][1] for sha in after] != [before[sha][1] for sha in after]
    assert room.build()["prelabelled"] == 0


def test_tasks_older_than_the_model_that_is_shown_get_its_word(room: Room) -> None:
    """The set-up shows the model that is served as soon as there is one."""
    room.build()
    assert not scores(room)
    project, first = f"/api/projects/{room.project}", min(room.tasks().items())[1]["id"]
    chosen = {"from_name": "label", "to_name": "image", "type": "choices"}
    result = [{**chosen, "value": {"choices": [LABELS[0]]}}]
    texts = {"task": first, "model_version": "train-a", "score": 0.5, "result": result}
    room.call("POST", "/api/predictions/", **texts)
    room.call("PATCH", f"{project}/", model_version="train-a")
    room.embed("train-a")

    found = room.build()

    assert found["prelabelled"] == 19
    assert {version for version, _ in scores(room).values()} == {"train-a"}
    assert len(scores(room)) == 20


def scores(room: Room) -> dict[str, tuple[str, float]]:
    """Version and score of the prediction that annotators see on each open task."""
    seen = shown(room)
    return {
        sha: (one["model_version"], one["score"])
        for sha, task in room.tasks().items()
        if not task["is_labeled"]
        for one in task["predictions"]
        if one["model_version"] == seen
    }


def versions(room: Room) -> list[str]:
    """Whose predictions there are on tasks that nobody labelled, seen or not."""
    tasks = [task for task in room.tasks().values() if not task["is_labeled"]]
    return sorted({one["model_version"] for task in tasks for one in task["predictions"]})


def test_a_page_that_was_open_when_another_model_came_can_be_saved(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.embed("train-a")
    room.build()
    task = min(room.tasks().items())[1]  # on somebody's screen
    room.embed("train-bb", sure=4.0)
    room.build()
    result = [{"from_name": "label", "to_name": "image", "type": "choices"}]
    result[0] |= {"value": {"choices": [LABELS[0]]}}
    body = {"result": result, "parent_prediction": task["predictions"][0]["id"]}
    room.call("POST", f"/api/tasks/{task['id']}/annotations/", **body)
    assert versions(room) == ["train-a", "train-bb"]

    monkeypatch.setattr(label_studio_predictions, "KEPT", timedelta(0))  # an hour later
    room.build()

    assert versions(room) == ["train-bb"]
    seen = room.tasks()[task["data"]["sample_id"]]["predictions"]
    assert "train-a" in {one["model_version"] for one in seen}


def test_former_words_go_bit_by_bit_also_when_the_setup_showed_the_new_model_first(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio_predictions, "DROPPED_AT_ONCE", 12)
    room.embed("train-a")
    room.build()
    room.embed("train-bb", sure=4.0)
    room.studio.predictions.add(
        {min(room.tasks()): Prelabel("train-bb", ("red",), {"red": 1.0}, 0.5)}
    )
    room.call("PATCH", f"/api/projects/{room.project}/", model_version="train-bb")
    room.build()
    assert versions(room) == ["train-a", "train-bb"]
    monkeypatch.setattr(label_studio_predictions, "KEPT", timedelta(0))
    for left in (["train-a", "train-bb"], ["train-bb"]):
        room.build()
        assert versions(room) == left


def test_an_image_that_got_its_label_elsewhere_is_taken_back(room: Room) -> None:
    room.embed("train-a")
    room.build()
    image, worked_on = sorted(room.tasks())[:2]
    draft = {"result": [], "lead_time": 1.0, "project": room.project}
    path = f"/api/tasks/{room.task_id(worked_on)}/drafts"
    room.call("POST", path, **draft)
    for labelled in (image, worked_on):
        room.world.label(labelled, room.photos[labelled], at=room.world.later())
    room.index()
    found = room.build()
    assert found["withdrawn"] == 1
    assert image not in room.tasks()
    assert worked_on in room.tasks()


def test_what_somebody_skipped_is_not_asked_again(room: Room) -> None:
    room.embed("train-a")
    room.build()
    image = min(room.tasks())
    room.answer(image, skip=True)
    room.call("DELETE", f"/api/tasks/{room.task_id(image)}/")
    for asked in sorted(room.tasks())[:4]:
        room.answer(asked, room.photos[asked])
    assert room.build()["added"] == 5
    assert image not in room.tasks()


def test_a_correction_comes_first_and_says_what_was_said(room: Room) -> None:
    room.embed("train-a")
    image = room.world.add("late.png", room.world.store.get("raw/new/0.png") + b"\0", at=None)
    room.photos[image] = "blue"
    room.index()
    labelled = next(
        sha for sha, row in splits(room).items() if row == "train" and is_labelled(room, sha)
    )
    room.correct(labelled, "green")
    found = room.build()
    assert found["in doubt"] == 1
    task = room.tasks()[labelled]
    assert task["meta"]["suggested"] == ["green"]
    assert "a user of the predictor says: green" in task["data"]["why"]
    assert task["predictions"][0]["score"] == 0
    room.answer(labelled, "green")
    assert room.build()["in doubt"] == 0


def splits(room: Room) -> dict[str, str]:
    from assets.dataset.splits.splitting import current_groups, with_lots

    rows = current_groups(room.world.store)
    if not rows.num_rows:
        room.world.run("dataset")
        rows = current_groups(room.world.store)
    rows = with_lots(rows, room.world.line.split)
    return dict(zip(rows["sha256"].to_pylist(), rows["split"].to_pylist(), strict=True))


def is_labelled(room: Room, image: str) -> bool:
    from assets.annotations.label_index import labelled_view

    return image in labelled_view(room.world.store, room.world.line.labels).labels


def test_a_correction_of_what_was_labelled_here_is_reviewed_in_a_tab(room: Room) -> None:
    room.embed("train-a")
    room.build()
    image = next(sha for sha in sorted(room.tasks()) if splits(room)[sha] == "train")
    room.answer(image, "red")
    room.correct(image, "green")
    found = room.build()
    assert found["to review"] == 1
    (view,) = room.call("GET", f"/api/dm/views/?project={room.project}")
    assert view["data"]["title"] == "Labels in doubt"
    assert found["labels in doubt"].endswith(f"tab={view['id']}")
    listed = room.call("GET", f"/api/tasks/?view={view['id']}&fields=all&resolve_uri=false")[
        "tasks"
    ]
    assert [task["data"]["sample_id"] for task in listed] == [image]
    assert listed[0]["data"]["why"] == "a user of the predictor says: green"
    assert len(listed[0]["annotations"]) == 1

    room.build()
    assert len(room.call("GET", f"/api/dm/views/?project={room.project}")) == 1
    room.hear(image, "green", unique_id="feed")
    assert room.build()["to review"] == 0
    assert room.call("GET", f"/api/dm/views/?project={room.project}") == []


def test_before_there_is_a_model_images_are_asked_all_the_same(room: Room) -> None:
    found = room.build()
    assert found["added"] == 20
    assert all(task["predictions"] == [] for task in room.tasks().values())
    assert "| exploration | 20 |" in found["reasons"]
    room.embed("train-a")
    found = room.build()
    assert found["prelabelled"] == 20
    assert shown(room) == "train-a"


@pytest.mark.parametrize("room", ["multi_label"], indirect=True)
def test_several_labels_an_image(room: Room) -> None:
    room.embed("train-a", task="multi_label", thresholds=dict.fromkeys(LABELS, 0.6))
    found = room.build()
    assert found["added"] == 20
    chosen = [
        task["predictions"][0]["result"][0]["value"]["choices"] for task in room.tasks().values()
    ]
    assert all(chosen)
    assert {len(labels) for labels in chosen} >= {1, 2}


def test_a_label_that_the_page_has_not_got_is_not_predicted(room: Room) -> None:
    room.embed("train-a", labels=("blue", "green", "violet"))
    found = room.build()
    assert found["added"] == 20
    predicted = [task["predictions"] for task in room.tasks().values()]
    assert any(not predictions for predictions in predicted)
    for predictions in filter(None, predicted):
        assert "violet" not in predictions[0]["result"][0]["meta"]["probs"]


def test_when_nothing_is_left_it_says_so(room: Room) -> None:
    room.embed("train-a")
    everything = room.world.with_settings(labelling={"batch_min": 100})
    found = Room(everything, room.server, room.project, room.photos).build()
    assert found["added"] == 40
    assert found["left to label"] == 0
    assert unfinished(room.world.store) == []
    again = Room(everything, room.server, room.project, room.photos).build()
    assert "no image is left" in again["reasons"]


def test_without_a_label_studio_what_is_chosen_is_still_left_to_label(
    tmp_path: Path, photo: Any, empty_world: Callable[..., Any]
) -> None:
    room = Room(empty_world(tmp_path / "home", labels={"names": LABELS}))
    room.fill(photo, free=12)
    room.embed("train-a")
    assert room.world.run("labelling_queue").success
    made = newest_materialization(room.world.instance, room.world.store, LabellingQueueRecord)
    assert made is not None
    assert (made.is_connected, made.chosen, made.left) == (False, 12, 12)
