"""What is new in a task, what was taken back, and what only looks as if."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelling.label_studio.ledger import (
    IndexedAnnotation,
    Interval,
    TaskTimes,
    find_deleted,
    label_studio_key,
    read_ledger,
    snapshots_to_add,
)
from labelling.label_studio.tasks import TaskReading
from labelling.labels.snapshots import AnnotationSnapshot

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = "a" * 64
A, B = "1" * 32, "2" * 32


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def statement(
    *labels: str, of: str = A, when: float = 0, task: int = 1, **more: Any
) -> AnnotationSnapshot:
    return AnnotationSnapshot(
        sha256=IMAGE, labels=labels, annotator="label_studio:ann", source="label_studio",
        annotated_at=at(when), annotation_id="1", unique_id=of,
        **{"project": 1, "task": task, **more},
    )  # fmt: skip


class Shelf:
    """The store's part."""

    def __init__(self) -> None:
        self.snapshots: dict[str, AnnotationSnapshot] = {}

    def look(
        self,
        *there: AnnotationSnapshot,
        when: float,
        kept: Interval | None = None,
        made: float = -9,
        **of: int,
    ) -> list[AnnotationSnapshot]:
        """Read the task as it is now; what was new."""
        place = of.get("task", 1), of.get("project", 1)
        reading = TaskReading(*place, IMAGE, at(when), there, (), at(made))
        known = read_ledger(self.snapshots, {IMAGE}).get(IMAGE, {})
        fresh = snapshots_to_add(reading, known, self.snapshots.__getitem__, kept)
        for snapshot in fresh:
            assert self.snapshots.setdefault(label_studio_key(snapshot), snapshot) is snapshot
        return fresh


def test_each_change_is_kept_once():
    shelf = Shelf()
    assert shelf.look(statement("cat"), when=0) == [statement("cat")]
    assert shelf.look(statement("cat"), when=0) == []
    changed = statement("dog", when=5)
    assert shelf.look(changed, statement("fox", of=B, when=6), when=6) == [
        changed,
        statement("fox", of=B, when=6),
    ]
    assert shelf.look(changed, statement("fox", of=B, when=6), when=6) == []
    assert len(shelf.snapshots) == 3


def test_a_deletion_is_kept_once_and_undone_if_it_comes_back():
    shelf = Shelf()
    shelf.look(statement("cat"), when=0)
    (gone,) = shelf.look(when=9)
    assert (gone.cancelled, gone.labels, gone.annotated_at) == (True, (), at(9))
    assert shelf.look(when=9) == shelf.look(when=30) == []
    (back,) = shelf.look(statement("cat"), when=40)
    assert back.labels == ("cat",)
    assert back.annotated_at > gone.annotated_at
    assert shelf.look(statement("cat"), when=41) == []


def test_another_task_of_the_image_takes_nothing_back():
    shelf = Shelf()
    shelf.look(statement("cat"), when=0)
    assert shelf.look(when=9, task=2) == []  # imported by hand, a second time
    assert shelf.look(when=9, project=2) == []  # a new project in the place of a deleted one
    assert shelf.look(when=9, made=8) == []  # the same numbers, of a server that was wiped
    assert len(shelf.look(when=9)) == 1


def test_two_saves_in_one_millisecond_are_two():
    shelf = Shelf()
    shelf.look(statement("cat"), when=0)
    (second,) = shelf.look(statement("dog"), when=0)
    assert second.annotated_at > at(0)
    assert shelf.look(statement("dog"), when=0) == []


def test_a_server_that_was_set_back_takes_nothing_back():
    shelf = Shelf()
    shelf.look(statement("cat"), when=0)
    shelf.look(statement("dog", when=100), when=100)
    assert shelf.look(statement("cat"), when=0) == []  # it has the older version again
    forgotten = Interval(at(50), at(100))
    assert shelf.look(statement("fox", of=B, when=200), when=200, kept=forgotten) == [
        statement("fox", of=B, when=200)
    ]


def test_keys_of_another_kind_are_passed_over():
    keys = ["annotations/label_studio/readme.json", f"annotations/label_studio/{IMAGE}-1-2.json"]
    assert read_ledger(keys, {IMAGE}) == {}
    assert read_ledger([label_studio_key(statement("cat"))], {"b" * 64}) == {}


steps = st.lists(
    st.dictionaries(st.sampled_from([A, B]), st.sampled_from(["cat", "dog", "skip"])), max_size=8
)


@given(steps)
def test_the_newest_snapshots_are_what_the_server_has(history):
    """Whatever happens to the annotations of a task: the last look tells them all."""
    shelf, saved = Shelf(), {}
    for moment, state in enumerate(history):
        saved = {of: saved.get(of, ("", 0)) for of in state}
        saved = {
            of: saved[of] if saved[of][0] == what else (what, moment) for of, what in state.items()
        }
        now = [
            statement(*([] if what == "skip" else [what]), of=of, when=when, skipped=what == "skip")
            for of, (what, when) in saved.items()
        ]
        shelf.look(*now, when=moment)
        assert shelf.look(*now, when=moment) == []
    newest: dict[str, AnnotationSnapshot] = {}
    for snapshot in sorted(shelf.snapshots.values(), key=lambda one: one.annotated_at):
        newest[snapshot.unique_id] = snapshot
    left = {
        of: "skip" if one.skipped else one.labels[0]
        for of, one in newest.items()
        if not one.cancelled
    }
    assert left == (history[-1] if history else {})


def standing(count: int, *, when: float = 0) -> list[IndexedAnnotation]:
    return [IndexedAnnotation(f"key{n}", f"{n:064x}", n, at(when), at(when)) for n in range(count)]


def tasks(*numbers: int, when: float = 1, made: float = -9) -> dict[tuple[int, str], TaskTimes]:
    return {(n, f"{n:064x}"): TaskTimes(at(made), at(when)) for n in numbers}


def test_deleted_tasks_are_found_also_if_their_number_is_used_again():
    known = standing(3)
    assert find_deleted(known, tasks(0, 1, 2), 0.2).deleted == ()
    assert [one.task for one in find_deleted(known, tasks(0, 2), 0.2).deleted] == [1]
    reused = tasks(0, 2) | {(1, "f" * 64): TaskTimes(at(1), at(1))}
    assert [one.task for one in find_deleted(known, reused, 0.2).deleted] == [1]
    same_image = tasks(0, 2) | tasks(1, made=1)
    assert [one.task for one in find_deleted(known, same_image, 0.2).deleted] == [1]


def test_a_mass_disappearance_takes_nothing_back():
    known = standing(100)
    assert len(find_deleted(known, tasks(*range(80)), 0.2).deleted) == 20
    found = find_deleted(known, tasks(*range(79)), 0.2)
    assert found.deleted == ()
    assert "21 of 100 labelled images" in found.refusal
    assert "max_vanished_share" in found.refusal
    assert len(find_deleted(known, {}, 1.0).deleted) == 100
    assert len(find_deleted(standing(20), {}, 0.2).deleted) == 20  # so few may be meant
    assert find_deleted(standing(21), {}, 0.2).deleted == ()


def test_what_was_refused_is_remembered_until_the_bound_is_as_high_as_it_was():
    known = standing(40)
    first = find_deleted(known, tasks(*range(10)), 0.2)
    assert first.refused == {f"key{n}": 0.75 for n in range(10, 40)}
    more = standing(200)
    there = tasks(*range(10), *range(40, 200))
    again = find_deleted(more, there, 0.2, refused=first.refused)
    assert (again.deleted, again.refused) == ((), {})
    assert "30 of 200" in again.refusal
    assert find_deleted(more, there, 0.74, refused=first.refused).deleted == ()
    assert len(find_deleted(more, there, 0.75, refused=first.refused).deleted) == 30
    assert find_deleted(more, there, 0.75, refused=first.refused).refusal == ""
    found = find_deleted(more, tasks(*range(200)), 0.2, refused=first.refused)
    assert found.refused == dict.fromkeys(first.refused, 0.0)  # there again


def test_a_restored_server_takes_nothing_back():
    known = [*standing(5, when=5000), IndexedAnnotation("late", "e" * 64, 9, at(6000), at(6000))]
    found = find_deleted(known, tasks(*range(5), when=100), 0.2)
    assert found.deleted == ()
    assert "restored from a backup" in found.refusal
    assert found.lost == Interval(at(100), at(6000))
    # Later, when people have gone on with what the server has:
    newer = tasks(*range(5), when=9000)
    assert find_deleted(known, newer, 0.2, found.lost).deleted == ()
    assert [one.key for one in find_deleted(known, newer, 0.2).deleted] == ["late"]


def test_a_task_that_an_import_made_just_before_its_annotations_is_not_restored():
    known = standing(3, when=5000)
    for seconds in (1, 599):
        assert find_deleted(known, tasks(*range(3), when=5000 - seconds), 0.2).refusal == ""
    assert "restored" in find_deleted(known, tasks(*range(3), when=5000 - 601), 0.2).refusal
