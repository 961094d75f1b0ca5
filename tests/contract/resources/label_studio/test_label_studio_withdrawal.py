"""Tasks are taken out of a real Label Studio, and nothing that anybody saves is lost."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from resources.label_studio import withdrawals
from tests.contract.resources.label_studio.label_studio_yard import Yard, make_yard, new_task, sha
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract

NUMBERS = range(6)


@pytest.fixture
def yard(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> Yard:
    yard = make_yard(label_studio, request.node.name)
    yard.port.imports.import_missing(new_task(number) for number in NUMBERS)
    return yard


def there(yard: Yard) -> set[str]:
    return {ref.sample_id for ref in yard.port.tasks.list_refs()}


def later(yard: Yard, deletions: int = 100) -> int:
    """Tend the withdrawn tasks more than an hour later; how many came back."""
    now = datetime.now(UTC) + withdrawals.KEPT + timedelta(minutes=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(withdrawals, "_now", lambda: now)
        return yard.port.withdrawals.tend(deletions)


def test_only_what_nobody_touched(yard: Yard):
    yard.annotate(yard.task_id(0))
    yard.annotate(yard.task_id(1), was_cancelled=True)
    yard.draft(yard.task_id(2))
    assert yard.port.withdrawals.withdraw([*map(sha, range(5)), sha("never there")]) == 2
    assert there(yard) == {sha(number) for number in (0, 1, 2, 5)}
    assert yard.port.withdrawals.withdraw(map(sha, range(5))) == 0
    assert yard.port.withdrawals.withdraw([]) == 0


def test_nobody_is_served_what_is_withdrawn(yard: Yard):
    yard.port.withdrawals.withdraw(map(sha, range(5)))
    assert yard.get(f"/api/projects/{yard.id}/next")["data"]["sample_id"] == sha(5)


def test_withdrawn_is_deleted_after_an_hour(yard: Yard):
    ids = [yard.task_id(number) for number in range(3)]
    yard.port.withdrawals.withdraw(map(sha, range(3)))
    assert yard.port.withdrawals.tend() == 0
    assert [yard.client.get(f"/api/tasks/{task}/").status_code for task in ids] == [200] * 3
    assert later(yard, deletions=2) == 0
    left = [yard.client.get(f"/api/tasks/{task}/").status_code for task in ids]
    assert sorted(left) == [200, 404, 404]
    assert later(yard) == 0
    assert [yard.client.get(f"/api/tasks/{task}/").status_code for task in ids] == [404] * 3
    assert there(yard) == {sha(number) for number in (3, 4, 5)}


def test_what_is_saved_on_an_open_page_comes_back(yard: Yard):
    saved, drafted = yard.task_id(1), yard.task_id(2)
    yard.port.withdrawals.withdraw(map(sha, range(3)))
    yard.annotate(saved, "bird", lead_time=4.0)
    yard.draft(drafted)
    assert yard.port.withdrawals.tend() == 2
    assert there(yard) == {sha(number) for number in (1, 2, 3, 4, 5)}
    (task,) = [
        task for task in yard.port.tasks.changed_since(None, limit=99) if task["id"] == saved
    ]
    (annotation,) = task["annotations"]
    assert annotation["result"][0]["value"] == {"choices": ["bird"]}
    assert (annotation["lead_time"], annotation["completed_by"]) == (4.0, 1)
    assert annotation["project"] == task["project"] == yard.id
    assert later(yard) == 0
    assert sha(1) in there(yard)


def test_withdrawn_and_wanted_again(yard: Yard):
    yard.port.withdrawals.withdraw(map(sha, NUMBERS))
    assert yard.port.imports.import_missing([new_task(1)]).new == 1
    assert later(yard) == 0
    assert there(yard) == {sha(1)}


def test_two_projects_have_each_their_own(label_studio: LabelStudioServer, yard: Yard):
    other = make_yard(label_studio, f"{yard.title} too")
    other.port.imports.import_missing([new_task(0)])
    for one in (yard, other):
        one.port.withdrawals.withdraw([sha(0)])
    assert later(other) == 0
    assert there(other) == set()
    assert yard.port.withdrawals.tend() == 0


@pytest.mark.parametrize("hurry", [False, True])
def test_annotators_who_save_meanwhile_lose_nothing(yard: Yard, monkeypatch, hurry):
    """Everybody saves at some moment of the withdrawal. In a hurry, even the deletion is at once."""
    yard.port.imports.import_missing(new_task(number) for number in range(10))
    monkeypatch.setattr(withdrawals, "KEPT", timedelta(seconds=2 if hurry else 3600))
    tasks = {number: yard.task_id(number) for number in range(10)}
    saved: dict[int, int] = {}

    def annotator(numbers: range) -> None:
        with yard.server.client() as client:
            for number in numbers:
                region = {"from_name": "label", "to_name": "image", "type": "choices"}
                answer = client.post(
                    f"/api/tasks/{tasks[number]}/annotations/",
                    json={"result": [{**region, "value": {"choices": ["dog"]}}]},
                )
                if answer.status_code == 201:
                    saved[number] = answer.json()["id"]
                time.sleep(0.02)

    people = [threading.Thread(target=annotator, args=(range(i, 10, 2),)) for i in (0, 1)]
    for person in people:
        person.start()
    yard.port.withdrawals.withdraw(map(sha, reversed(range(10))))
    for person in people:
        person.join()
    if hurry:
        time.sleep(2)
    yard.port.withdrawals.tend()
    assert len(saved) > 2
    seen = yard.by_image()
    for number, annotation in saved.items():
        assert [one["id"] for one in seen[sha(number)]["annotations"]] == [annotation]
