"""Tasks are taken out of a real Label Studio, and nothing that anybody saves is lost."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from resources.label_studio import withdrawals
from tests.contract.resources.label_studio.label_studio_project import (
    StudioProject,
    make_studio,
    new_task,
    sha,
)
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract

NUMBERS = range(6)


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    studio = make_studio(label_studio, request.node.name)
    studio.client.imports.import_missing(new_task(number) for number in NUMBERS)
    return studio


def there(studio: StudioProject) -> set[str]:
    return {ref.sample_id for ref in studio.client.tasks.list_refs()}


def later(studio: StudioProject, deletions: int = 100) -> int:
    """Tend the withdrawn tasks more than an hour later; how many came back."""
    now = datetime.now(UTC) + withdrawals.KEPT + timedelta(minutes=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(withdrawals, "_now", lambda: now)
        return studio.client.withdrawals.tend(deletions)


def test_only_what_nobody_touched(studio: StudioProject):
    studio.annotate(studio.task_id(0))
    studio.annotate(studio.task_id(1), was_cancelled=True)
    studio.draft(studio.task_id(2))
    assert studio.client.withdrawals.withdraw([*map(sha, range(5)), sha("never there")]) == 2
    assert there(studio) == {sha(number) for number in (0, 1, 2, 5)}
    assert studio.client.withdrawals.withdraw(map(sha, range(5))) == 0
    assert studio.client.withdrawals.withdraw([]) == 0


def test_nobody_is_served_what_is_withdrawn(studio: StudioProject):
    studio.client.withdrawals.withdraw(map(sha, range(5)))
    assert studio.get(f"/api/projects/{studio.id}/next")["data"]["sample_id"] == sha(5)


def test_withdrawn_is_deleted_after_an_hour(studio: StudioProject):
    known = studio.by_image()
    ids = [known[sha(number)]["id"] for number in range(3)]
    studio.client.withdrawals.withdraw(map(sha, range(3)))
    assert studio.client.withdrawals.tend() == 0
    assert [studio.http.get(f"/api/tasks/{task}/").status_code for task in ids] == [200] * 3
    assert later(studio, deletions=2) == 0
    left = [studio.http.get(f"/api/tasks/{task}/").status_code for task in ids]
    assert sorted(left) == [200, 404, 404]
    assert later(studio) == 0
    assert [studio.http.get(f"/api/tasks/{task}/").status_code for task in ids] == [404] * 3
    assert there(studio) == {sha(number) for number in (3, 4, 5)}


def test_what_is_saved_on_an_open_page_comes_back(studio: StudioProject):
    saved, drafted = studio.task_id(1), studio.task_id(2)
    studio.client.withdrawals.withdraw(map(sha, range(3)))
    studio.annotate(saved, "bird", lead_time=4.0)
    studio.draft(drafted)
    assert studio.client.withdrawals.tend() == 2
    assert there(studio) == {sha(number) for number in (1, 2, 3, 4, 5)}
    (task,) = [
        task for task in studio.client.tasks.changed_since(None, limit=99) if task["id"] == saved
    ]
    (annotation,) = task["annotations"]
    assert annotation["result"][0]["value"] == {"choices": ["bird"]}
    assert (annotation["lead_time"], annotation["completed_by"]) == (4.0, 1)
    assert annotation["project"] == task["project"] == studio.id
    assert later(studio) == 0
    assert sha(1) in there(studio)


def test_withdrawn_and_wanted_again(studio: StudioProject):
    studio.client.withdrawals.withdraw(map(sha, NUMBERS))
    assert studio.client.imports.import_missing([new_task(1)]).new == 1
    assert later(studio) == 0
    assert there(studio) == {sha(1)}


def test_two_projects_have_each_their_own(label_studio: LabelStudioServer, studio: StudioProject):
    other = make_studio(label_studio, f"{studio.title} too")
    other.client.imports.import_missing([new_task(0)])
    for one in (studio, other):
        one.client.withdrawals.withdraw([sha(0)])
    assert later(other) == 0
    assert there(other) == set()
    assert studio.client.withdrawals.tend() == 0


@pytest.mark.parametrize("hurry", [False, True])
def test_annotators_who_save_meanwhile_lose_nothing(studio: StudioProject, monkeypatch, hurry):
    """Everybody saves at some moment of the withdrawal. In a hurry, even the deletion is at once."""
    studio.client.imports.import_missing(new_task(number) for number in range(10))
    monkeypatch.setattr(withdrawals, "KEPT", timedelta(seconds=2 if hurry else 3600))
    there_before = studio.by_image()
    tasks = {number: there_before[sha(number)]["id"] for number in range(10)}
    saved: dict[int, int] = {}

    def annotator(numbers: range) -> None:
        with studio.server.client() as client:
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
    studio.client.withdrawals.withdraw(map(sha, reversed(range(10))))
    for person in people:
        person.join()
    if hurry:
        time.sleep(2)
    studio.client.withdrawals.tend()
    assert len(saved) > 2
    seen = studio.by_image()
    for number, annotation in saved.items():
        assert [one["id"] for one in seen[sha(number)]["annotations"]] == [annotation]
