"""What people do in a real Label Studio is in the label table, once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.annotations.label_index import labelled_view
from tests.graph.label_studio_room import IMAGES, Room, open_room
from tests.label_studio.server import LabelStudioServer

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


def test_a_label_is_there_after_a_look_and_only_once(room: Room) -> None:
    assert room.follow() == {}
    room.say(IMAGES[0], "cat", lead_time=2.5)
    assert room.follow() == {IMAGES[0]: ["cat"]}
    (row,) = room.rows
    assert row["annotator"] == f"label_studio:{room.server.username}"
    assert (row["lead_time_s"], row["skipped"], row["project"]) == (2.5, False, room.project)
    assert row["task"] == room.tasks[IMAGES[0]]
    for _ in range(2):  # duplicate looks, and a lost cursor
        room.from_the_start()
        assert room.tick() == []
    assert room.follow() == {IMAGES[0]: ["cat"]}
    assert len(room.rows) == 1


def test_changes_skips_and_deletions_follow(room: Room) -> None:
    first = room.say(IMAGES[0], "cat")
    skipped = room.say(IMAGES[1], was_cancelled=True)
    assert room.follow() == {IMAGES[0]: ["cat"]}
    assert [row["skipped"] for row in room.rows if row["sha256"] == IMAGES[1]] == [True]
    room.change(first, "dog")
    room.change(skipped, "fox", was_cancelled=False)
    assert room.follow() == {IMAGES[0]: ["dog"], IMAGES[1]: ["fox"]}
    room.delete(first)
    assert room.follow() == {IMAGES[1]: ["fox"]}
    room.say(IMAGES[0], "fox")
    assert room.follow() == {IMAGES[0]: ["fox"], IMAGES[1]: ["fox"]}


def test_two_saves_between_two_looks_are_one_snapshot_and_a_deletion_at_once_none(
    room: Room,
) -> None:
    first = room.say(IMAGES[0], "cat")
    room.change(first, "dog")
    room.delete(room.say(IMAGES[1], "cat"))
    assert room.follow() == {IMAGES[0]: ["dog"]}
    assert len(room.rows) == 1


def test_a_deletion_before_the_label_was_indexed_is_not_missed(room: Room) -> None:
    first = room.say(IMAGES[0], "cat")
    assert room.tick()  # written, and not yet in the label table
    room.delete(first)
    assert room.follow() == {}


def test_deleted_tasks_take_their_labels_with_them_whoever_has_the_number(room: Room) -> None:
    room.say(IMAGES[0], "cat")
    room.say(IMAGES[2], "dog")
    assert len(room.follow()) == 2
    room.delete_task(IMAGES[2])
    assert room.follow() == {IMAGES[0]: ["cat"]}
    number = room.tasks[IMAGES[2]]
    room.add(IMAGES[3])
    room.tasks[IMAGES[2]] = -1
    room.say(IMAGES[3], "fox")
    assert room.follow() == {IMAGES[0]: ["cat"], IMAGES[3]: ["fox"]}
    # SQLite gives the number of the last task again; elsewhere it does not, which is as well.
    assert room.tasks[IMAGES[3]] in (number, number + 1)


def test_several_annotators_vote_and_a_tie_is_a_conflict(room: Room) -> None:
    bea, cem = (
        room.annotator(f"bea{room.project}@b.org"),
        room.annotator(f"cem{room.project}@b.org"),
    )
    room.say(IMAGES[0], "cat")
    room.say(IMAGES[0], "dog", completed_by=bea)
    room.follow()
    view = labelled_view(room.world.store, room.world.line.labels)
    assert [(row["sha256"], row["reason"]) for row in view.conflicts] == [
        (IMAGES[0], "annotators disagree (label conflict)")
    ]
    shown = room.world.run("annotations").metadata("annotations")
    assert shown["disagreements"] == 1
    assert "bea" in shown["agreement"]
    room.say(IMAGES[0], "dog", completed_by=cem)
    assert room.follow() == {IMAGES[0]: ["dog"]}
    assert labelled_view(room.world.store, room.world.line.labels).conflicts == []
    assert {row["annotator"] for row in room.rows} == {
        f"label_studio:{room.server.username}",
        *(f"label_studio:{name}{room.project}@b.org" for name in ("bea", "cem")),
    }


def test_a_label_the_schema_does_not_know_is_rejected_by_name(room: Room) -> None:
    room.say(IMAGES[0], "cat")
    wrong = room.say(IMAGES[1], "zebra")  # the server takes anything
    assert len(room.tick()) == 1
    done = room.world.run("annotations")
    assert "unknown label 'zebra'" in done.metadata("annotations")["rejections"]
    assert not done.checks["labels_known"]  # half of all labels
    assert room.labels == {IMAGES[0]: ["cat"]}
    room.change(wrong, "fox")
    assert room.follow() == {IMAGES[0]: ["cat"], IMAGES[1]: ["fox"]}
    assert room.world.run("annotations").metadata("annotations")["rejected"] == 0


def test_tasks_of_others_hold_nothing_up(room: Room) -> None:
    room.call("POST", f"/api/projects/{room.project}/tasks/", data={"image": "/data/x.png"})
    room.say(IMAGES[0], "cat")
    assert room.follow() == {IMAGES[0]: ["cat"]}


def test_the_prediction_that_was_shown_is_kept_with_the_label(room: Room) -> None:
    result = [
        room.result("dog")[0] | {"meta": {"probs": {"dog": 0.7, "cat": 0.3}, "confidence": 0.7}}
    ]
    for version in ("train-1", "train-2"):
        room.call(
            "POST", "/api/predictions/", task=room.tasks[IMAGES[0]], result=result,
            model_version=version, score=0.1,
        )  # fmt: skip
    room.call("PATCH", f"/api/projects/{room.project}/", model_version="train-1")
    room.say(IMAGES[0], "cat")
    room.follow()
    (row,) = room.rows
    assert (row["prelabel_version"], row["prelabel"]) == ("train-1", ["dog"])
    assert row["prelabel_confidence"] == 0.7


@pytest.mark.parametrize(
    "room", [{"labels": {"names": ["cat", "dog", "fox"], "task": "multi_label"}}], indirect=True
)
def test_several_labels_of_an_image_are_voted_on_each(room: Room) -> None:
    bea = room.annotator(f"bea{room.project}@b.org")
    room.say(IMAGES[0], "cat", "dog")
    room.say(IMAGES[0], "dog", completed_by=bea)
    room.say(IMAGES[1], "fox", "dog")
    assert room.follow()[IMAGES[1]] == ["fox", "dog"]
    view = labelled_view(room.world.store, room.world.line.labels)
    assert [row["sha256"] for row in view.conflicts] == [IMAGES[0]]  # is there a cat in it?
