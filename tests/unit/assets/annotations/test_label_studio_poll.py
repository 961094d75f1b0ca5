"""How the changes of a project are read: bounded, gaplessly, and again for what came late.

The server is played here, for what a real one does once in a thousand days: transactions that end
late, a connection that breaks amid the pages, a backup put back, another project under our name.
"""

from datetime import timedelta

import pytest

from assets.annotations import label_studio_poll
from assets.annotations.label_studio_poll import Poll, PollCursor
from assets.policies import LabellingPolicy
from labelling.label_studio.ledger import Deletions, Interval
from resources.label_studio.types import LabelStudioDown
from tests.label_studio.played import START, PlayedLabelStudio
from tests.unit.assets.annotations.label_studio_polled import OVERLAP_S, Line, line

pytestmark = pytest.mark.unit

__all__ = ["line"]


def test_an_idle_project_gives_nothing_to_read_again(line: Line) -> None:
    for number in range(1, 30):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 29
    assert line.server.given == 29
    line.look()
    assert line.server.given == 29
    line.look(seconds=OVERLAP_S + 1)  # all of it once more, for what came late
    assert line.server.given == 58
    for _ in range(5):
        line.look(seconds=OVERLAP_S + 1)
    assert line.server.given == 58
    assert line.snapshots == 29


class Overtaken:
    """A project that is ``first`` by its title when it is looked up, and ``second`` from then on."""

    def __init__(self, first: PlayedLabelStudio, second: PlayedLabelStudio) -> None:
        self.project, self.tasks, self.withdrawals = first, second, second

    def to_project(self, project_id: int) -> PlayedLabelStudio:
        return self.project if project_id == self.project.project_id else self.tasks


def test_a_project_that_gets_the_title_meanwhile_is_not_read_in_place_of_ours(line: Line) -> None:
    other = PlayedLabelStudio(project_id=2)
    line.server.add(1, "cat", at=1)
    other.add(2, "dog", at=2)
    line.server = Overtaken(line.server, other)
    assert line.look(every_s=0).project == 1
    assert line.labels == {1: ["cat"]}


def test_what_was_saved_late_is_found_on_the_second_look(line: Line) -> None:
    for number in range(1, 6):
        line.server.add(number, "cat", at=number)
    line.server.hidden = {3}  # its transaction has not ended
    line.look()
    assert 3 not in line.labels
    line.server.hidden = set()
    line.look()
    assert 3 not in line.labels
    line.look(seconds=OVERLAP_S)
    assert line.labels[3] == ["cat"]


def test_what_was_saved_late_in_the_very_last_moment_is_found_too(line: Line) -> None:
    for number in range(1, 6):
        line.server.add(number, "cat", at=number)
    line.server.add(6, "dog", at=5)
    line.server.hidden = {6}
    line.look()
    line.server.hidden = set()
    line.look(seconds=OVERLAP_S)
    assert line.labels[6] == ["dog"]


@pytest.mark.parametrize("begun", [[1, 5], [5, 1]])
def test_what_two_backups_forgot_is_kept_from_the_older_one_on(
    line: Line, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = PollCursor(project=1)
    look = Poll(line.server, line.store, cursor, LabellingPolicy(), line.messages.append)
    for days in begun:
        forgotten = Interval(START + timedelta(days=days), START + timedelta(days=9))
        monkeypatch.setattr(
            label_studio_poll, "find_deleted", lambda *_, found=forgotten: Deletions(lost=found)
        )
        look._record_deletions([], {})
    assert cursor.kept == Interval(START + timedelta(days=1), START + timedelta(days=9))


def test_a_tick_is_bounded_and_the_next_goes_on(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio_poll, "TICK_TASKS", 10)
    monkeypatch.setattr(label_studio_poll, "TICK_S", 0.0)
    for number in range(1, 36):
        line.server.add(number, "cat", at=number)
    for known in (0, 10, 20, 30, 35, 35):
        assert len(line.labels) == known
        line.look()
    for _ in range(8):
        line.look(seconds=OVERLAP_S)
    assert line.snapshots == 35


def test_tasks_of_one_moment_are_read_together(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an action on many tasks leaves them."""
    monkeypatch.setattr(label_studio_poll, "TICK_TASKS", 10)
    for number in range(1, 36):
        line.server.add(number, "cat", at=1)
    line.server.add(36, "cat", at=2)
    line.look()
    assert len(line.labels) == 36


def test_what_was_read_before_the_connection_broke_stays_read(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio_poll, "TICK_TASKS", 10)
    for number in range(1, 36):
        line.server.add(number, "cat", at=number)
    line.server.breaks_after = 25
    with pytest.raises(LabelStudioDown):
        line.look()
    assert len(line.labels) == 20
    line.server.breaks_after = None
    assert line.look().unindexed
    assert len(line.labels) == 35
    assert line.snapshots == 35


def test_deleted_tasks_are_looked_for_now_and_then(line: Line) -> None:
    for number in (1, 2):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 2
    del line.server.tasks_by_id[1]
    line.look(seconds=100, every_s=600)
    assert len(line.labels) == 2
    line.look(seconds=600, every_s=600)
    assert line.labels == {2: ["cat"]}
    line.look(every_s=0)
    assert line.snapshots == 3


def test_many_tasks_are_looked_for_over_several_ticks(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio_poll, "RECONCILE_TASKS", 10)
    for number in range(1, 36):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 35
    for number in (3, 17, 35):
        del line.server.tasks_by_id[number]
    assert line.look(seconds=700, every_s=600).reconciled_to == 11
    assert line.labels.keys() == {*range(1, 36)} - {3}
    for _ in range(3):
        line.look(every_s=600)
    assert line.labels.keys() == {*range(1, 36)} - {3, 17, 35}
    assert line.look(every_s=600).reconciled_to == 0
    assert line.snapshots == 38


def test_a_cursor_of_a_former_version_goes_on(line: Line) -> None:
    for number in range(1, 6):
        line.server.add(number, "cat", at=number)
    cursor = line.look()
    assert cursor.created_at is not None
    line.cursor = cursor.model_dump_json(exclude={"created_at"})
    assert line.look().created_at == cursor.created_at
    assert line.server.given == 5
    assert line.messages == []


def test_the_withdrawn_are_tended_when_deleted_tasks_are_looked_for(line: Line) -> None:
    line.server.add(1, "cat", at=1)
    line.look(seconds=700, every_s=600)
    tended = line.server.tended
    for _ in range(5):
        line.look(every_s=600)
    assert line.server.tended == tended
    line.look(seconds=700, every_s=600)
    assert line.server.tended == tended + 1


def test_a_refusal_to_tend_the_withdrawn_holds_nothing_up(line: Line) -> None:
    line.server.refuses_to_tend = True
    line.look()
    line.server.add(1, "cat", at=1)
    line.server.add(2, "cat", at=2)
    line.look(every_s=0)
    assert len(line.labels) == 2
    assert "no task may be moved" in line.messages[-1]
    del line.server.tasks_by_id[1]
    line.look(every_s=0)
    assert line.labels == {2: ["cat"]}


def test_a_task_of_somebody_else_is_named(line: Line) -> None:
    line.server.add(1, "cat", at=1)
    line.server.add(2, "cat", at=2)
    line.server.tasks_by_id[1]["data"] = {"image": "x.png"}
    line.look()
    assert line.labels == {2: ["cat"]}
    assert "task 1 of project 1 has no sample_id" in line.messages[0]
