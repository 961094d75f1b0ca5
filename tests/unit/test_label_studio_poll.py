"""How the changes of a project are read: bounded, gaplessly, and again for what came late.

The server is played here, for what a real one does once in a thousand days: transactions that end
late, a connection that breaks amid the pages, a backup put back, another project under our name.
"""

from pathlib import Path
from typing import Any

import pytest

from assets.label_index import index_snapshots, labelled_view, labels_table
from assets.policies import LabellingPolicy
from imgclf_dagster import label_studio_poll
from imgclf_dagster.label_studio_poll import PollCursor, poll
from labelling.schema import LabelSchema
from resources.label_studio_types import LabelStudioDown
from resources.object_store import ObjectStore
from tests.label_studio.played import START, PlayedLabelStudio

pytestmark = pytest.mark.unit

NOW = START.timestamp()
OVERLAP_S = 120.0


class Line:
    """The store, a cursor that goes through JSON, and a clock."""

    def __init__(self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.server, self.cursor = store, PlayedLabelStudio(), "{}"
        self.clock = NOW
        self.said: list[str] = []
        monkeypatch.setattr(label_studio_poll.time, "time", lambda: self.clock)

    def look(self, *, seconds: float = 5, every_s: float = 1e9, **policy: Any) -> PollCursor:
        """A tick, ``seconds`` after the last."""
        self.clock += seconds
        cursor = PollCursor.model_validate_json(self.cursor)
        chosen = LabellingPolicy(poll_overlap_s=OVERLAP_S, reconcile_every_s=every_s, **policy)
        try:
            poll(self.server, self.store, cursor, chosen, self.said.append)  # type: ignore[arg-type]
        finally:
            self.cursor = cursor.model_dump_json()
        return cursor

    @property
    def labels(self) -> dict[int, list[str]]:
        index_snapshots(self.store, labels_table(self.store))
        view = labelled_view(self.store, LabelSchema())
        return {int(image, 16): names for image, names in view.labels.items()}

    @property
    def snapshots(self) -> int:
        return len(self.store.list("annotations/"))


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return Line(store, monkeypatch)


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


def test_a_mass_disappearance_is_told_and_takes_nothing_back_until_it_is_meant(line: Line) -> None:
    for number in range(1, 41):
        line.server.add(number, "cat", at=number)
    line.look()
    assert len(line.labels) == 40
    line.server.tasks_by_id.clear()
    assert "max_vanished_share" in line.look(every_s=0).note
    assert len(line.labels) == 40
    assert line.look(every_s=0, max_vanished_share=1.0).note == ""
    assert line.labels == {}


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


def test_a_task_of_somebody_else_is_named(line: Line) -> None:
    line.server.add(1, "cat", at=1)
    line.server.add(2, "cat", at=2)
    line.server.tasks_by_id[1]["data"] = {"image": "x.png"}
    line.look()
    assert line.labels == {2: ["cat"]}
    assert "task 1 of project 1 has no sample_id" in line.said[0]
