"""Tasks that are gone all at once: an accident, a wiped server, a backup. No label is taken back."""

import pytest

from tests.label_studio.played import PlayedLabelStudio
from tests.unit.assets.annotations.label_studio_polled import OVERLAP_S, Line, line

pytestmark = pytest.mark.unit

__all__ = ["line"]


def test_a_mass_disappearance_is_reported_and_takes_nothing_back_until_it_is_meant(
    line: Line,
) -> None:
    for number in range(1, 41):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 40
    line.server.tasks_by_id.clear()
    assert "max_vanished_share" in line.look(every_s=0).note
    assert len(line.labels) == 40
    assert line.look(every_s=0, max_vanished_share=1.0).note == ""
    assert line.labels == {}


def lose_thirty_of_forty(line: Line) -> None:
    """An accident, which is told and refused."""
    for number in range(1, 41):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 40
    for number in range(1, 31):
        del line.server.tasks_by_id[number]
    assert "30 of 40" in line.look(every_s=0).note
    assert len(line.labels) == 40


def go_on_labelling(line: Line) -> None:
    """119 more images, so that the 30 are no longer a fifth of all."""
    for number in range(101, 220):
        line.server.add(number, "dog", at=1000 + number)
    line.look()
    assert len(line.labels) == 159


def test_what_was_refused_stays_while_people_label_on(line: Line) -> None:
    lose_thirty_of_forty(line)
    go_on_labelling(line)
    for _ in range(3):
        assert "30 of 159" in line.look(every_s=0).note
        assert len(line.labels) == 159
    line.cursor = "{}"  # lost; the store remembers
    assert "30 of 159" in line.look(every_s=0).note
    assert len(line.labels) == 159
    assert "30 of 159" in line.look(every_s=0, max_vanished_share=0.5).note  # 0.75 were gone
    assert len(line.labels) == 159
    assert line.look(every_s=0, max_vanished_share=1.0).note == ""
    assert line.labels.keys() == {*range(31, 41), *range(101, 220)}
    assert line.look(every_s=0).note == ""


def test_what_is_deleted_after_an_accident_is_judged_with_it(line: Line) -> None:
    lose_thirty_of_forty(line)
    del line.server.tasks_by_id[31]
    assert "31 of 40" in line.look(every_s=0).note
    go_on_labelling(line)
    assert "31 of 159" in line.look(every_s=0).note
    del line.server.tasks_by_id[101]
    assert "32 of 159" in line.look(every_s=0).note  # still more than a fifth
    for number in range(301, 401):
        line.server.add(number, "fox", at=5000 + number)
    line.look()
    assert len(line.labels) == 259
    del line.server.tasks_by_id[102]  # long after, a single one is meant
    assert "32 of 259" in line.look(every_s=0).note
    assert 102 not in line.labels
    assert {*range(1, 32), 101} <= line.labels.keys()


def test_tasks_that_are_put_back_after_an_accident_are_as_before_it(line: Line) -> None:
    for number in range(1, 41):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 40
    there = dict(line.server.tasks_by_id)
    line.server.tasks_by_id.clear()
    assert "40 of 40" in line.look(every_s=0).note
    line.server.tasks_by_id = there
    assert line.look(every_s=0).note == ""
    del line.server.tasks_by_id[7]
    assert line.look(every_s=0).note == ""
    assert line.labels.keys() == {*range(1, 41)} - {7}


def test_images_imported_again_after_an_accident_take_no_label_back(line: Line) -> None:
    """By hand, from the first number on: as if all annotations of these tasks had been deleted."""
    lose_thirty_of_forty(line)
    for number in range(1, 31):
        line.server.add(number, at=2000 + number)
    for _ in range(3):
        assert "30 of 40" in line.look(seconds=OVERLAP_S + 1, every_s=0).note
        assert len(line.labels) == 40


@pytest.mark.parametrize("labelled", [15, 40])
@pytest.mark.parametrize("cursor_is_lost", [False, True])
def test_a_wiped_server_takes_nothing_back_though_its_project_has_the_same_number(
    line: Line, labelled: int, cursor_is_lost: bool
) -> None:
    for number in range(1, labelled + 1):
        line.server.add(number, "cat", at=number)
    line.look(every_s=0)
    assert len(line.labels) == labelled
    line.server = PlayedLabelStudio(made_at=5000)
    line.cursor = "{}" if cursor_is_lost else line.cursor
    line.look(every_s=0)
    assert len(line.labels) == labelled
    assert cursor_is_lost or "another one" in line.messages[-1]
    for number in range(1, 6):  # the same images, again as the first tasks
        line.server.add(number, at=6000 + number)
    for number in range(101, 320):
        line.server.add(number, "dog", at=6000 + number)
    for _ in range(3):
        assert line.look(seconds=OVERLAP_S + 1, every_s=0).note == ""
    assert line.labels.keys() == {*range(1, labelled + 1), *range(101, 320)}
    assert len(line.messages) <= 1
    del line.server.tasks_by_id[101]
    line.look(every_s=0)
    assert 101 not in line.labels  # it is of this project


def test_another_project_is_read_from_its_beginning_and_takes_nothing_back(line: Line) -> None:
    line.server.add(1, "cat", at=100)
    line.look(every_s=0)
    assert line.labels == {1: ["cat"]}
    line.server = PlayedLabelStudio(project_id=2)
    line.server.add(1, at=5)
    line.server.add(2, "dog", at=6)
    for _ in range(3):
        line.look(every_s=0)
    assert line.labels == {1: ["cat"], 2: ["dog"]}


def test_a_server_put_back_from_a_backup_takes_nothing_back(line: Line) -> None:
    for number in range(1, 6):
        line.server.add(number, at=number)  # as the backup has them
    backup = dict(line.server.tasks_by_id)
    for number in range(1, 6):
        line.server.add(number, "cat", at=5000 + number)
    line.server.add(6, "cat", at=6000)  # its task is newer than the backup
    line.look()
    assert len(line.labels) == 6
    line.server.tasks_by_id = backup
    assert "restored from a backup" in line.look(every_s=0).note
    line.server.add(1, "dog", at=9000)  # and people go on
    for _ in range(3):
        line.look(every_s=0)
    assert line.labels.keys() == {1, 2, 3, 4, 5, 6}
    assert line.labels[1] == ["dog"]
