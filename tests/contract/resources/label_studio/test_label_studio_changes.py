"""What changed in a real Label Studio: all of it, in order, with where it came from."""

from datetime import UTC, datetime, timedelta

import pytest

from labelling.label_studio.tasks import read_task
from labelling.labels.schema import LabelSchema
from resources.label_studio import tasks as label_studio_changes
from resources.label_studio.types import TaskRef
from tests.contract.resources.label_studio.label_studio_project import (
    StudioProject,
    make_studio,
    new_task,
    prelabel,
    result,
    sha,
)
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    return make_studio(label_studio, request.node.name)


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(label_studio_changes, "CHANGES_PAGE", 5)
    monkeypatch.setattr(label_studio_changes, "TASKS_PAGE", 5)
    monkeypatch.setattr(label_studio_changes, "LOOKUP_PAGE", 3)


def images(tasks) -> list[str]:
    return [task["data"]["sample_id"] for task in tasks]


def changed(studio: StudioProject, since: datetime | None = None, limit: int = 1000) -> list[dict]:
    return list(studio.client.tasks.changed_since(since, limit=limit))


def test_all_in_order_over_pages(studio: StudioProject, small_pages):
    studio.client.imports.import_missing(new_task(number) for number in range(13))
    tasks = changed(studio)
    moments = [task["updated_at"] for task in tasks]
    assert moments == sorted(moments)
    assert sorted(images(tasks)) == sorted(map(sha, range(13)))
    assert images(changed(studio, limit=7)) == images(tasks)[:7]
    middle = datetime.fromisoformat(moments[6])
    assert images(changed(studio, middle)) == images(tasks)[6:]  # the moment itself is included
    assert changed(studio, datetime.now(UTC) + timedelta(minutes=1)) == []


def test_many_of_one_moment(studio: StudioProject, small_pages):
    """Deleting the annotations of many tasks at once gives all the same moment."""
    studio.client.imports.import_missing(new_task(number) for number in range(14))
    ids = [task["id"] for task in studio.tasks()]
    for task in ids[1:13]:
        studio.annotate(task)
    studio.annotate(ids[0])
    body = {"selectedItems": {"all": False, "included": ids[1:13]}}
    answer = studio.http.post(
        "/api/dm/actions",
        params={"id": "delete_tasks_annotations", "project": studio.id},
        json=body,
    )
    assert answer.is_success, answer.text
    studio.annotate(ids[13])
    assert len({task["updated_at"] for task in studio.tasks()[1:13]}) == 1
    assert sorted(images(changed(studio))) == sorted(map(sha, range(14)))
    assert len(changed(studio, limit=9)) == 9


def test_what_people_do_is_a_change(studio: StudioProject):
    studio.client.imports.import_missing(new_task(number) for number in range(4))
    first = studio.task_id(1)

    def since_then(act) -> list[dict]:
        last = datetime.fromisoformat(changed(studio)[-1]["updated_at"])
        act()
        return changed(studio, last + timedelta(microseconds=1))

    (task,) = since_then(lambda: studio.annotate(first, "dog", lead_time=3.5))
    (annotation,) = task["annotations"]
    assert (task["id"], annotation["lead_time"]) == (first, 3.5)
    (task,) = since_then(
        lambda: studio.patch(f"/api/annotations/{annotation['id']}/", result=result("cat"))
    )
    assert task["annotations"][0]["result"][0]["value"] == {"choices": ["cat"]}
    (task,) = since_then(lambda: studio.http.delete(f"/api/annotations/{annotation['id']}/"))
    assert task["annotations"] == []
    (task,) = since_then(lambda: studio.annotate(first, was_cancelled=True))
    assert task["annotations"][0]["was_cancelled"]


def test_a_change_while_one_reads_is_not_missed(studio: StudioProject, small_pages):
    studio.client.imports.import_missing(new_task(number) for number in range(12))
    reading = studio.client.tasks.changed_since(None, limit=100)
    seen = [next(reading)]
    studio.annotate(seen[0]["id"])  # read already: comes again
    studio.annotate(studio.task_id(11))  # not yet: comes once, later, with its annotation
    seen += list(reading)
    assert {task["id"] for task in seen} == {task["id"] for task in studio.tasks()}
    by_image = {task["data"]["sample_id"]: task for task in seen}
    assert by_image[sha(11)]["annotations"]
    assert by_image[seen[0]["data"]["sample_id"]]["annotations"]


def test_where_an_annotation_came_from(studio: StudioProject):
    exports = studio.server.data_dir / "export"  # of all projects: other tests make some
    before = set(exports.iterdir())
    studio.client.imports.import_missing(
        [new_task(1, prediction=prelabel("train-7", "bird")), new_task(2)]
    )
    studio.annotate(studio.task_id(1))
    studio.annotate(studio.task_id(2))
    (one,), (two,) = (read_task(task).snapshots for task in changed(studio))
    assert one.unique_id != two.unique_id
    assert one.prediction is not None
    assert (one.prediction.model_version, one.prediction.labels) == ("train-7", ("bird",))
    assert one.prediction.confidence == 0.6
    assert two.prediction is None
    # An export would tell as much, and leave two files on the server's disk each time.
    assert set(exports.iterdir()) == before


def test_all_tasks_in_short(studio: StudioProject, small_pages):
    studio.http.post(f"/api/projects/{studio.id}/import", json=[{"data": {"image": "somebody's"}}])
    studio.client.imports.import_missing(new_task(number) for number in range(11))
    studio.annotate(studio.task_id(4))
    refs = studio.client.tasks.list_refs()
    assert [ref.sample_id for ref in refs] == [sha(number) for number in range(11)]
    assert [ref.id for ref in refs] == sorted(ref.id for ref in refs)
    assert [ref.sample_id for ref in refs if ref.is_labeled] == [sha(4)]
    assert all(isinstance(ref, TaskRef) and ref.updated_at.tzinfo for ref in refs)


def test_a_page_that_was_saved_with_nothing_ticked_says_that_there_is_nothing(
    studio: StudioProject,
):
    studio.client.project.ensure(LabelSchema(task="multi_label"), ["cat", "dog"])
    studio.client.imports.import_missing(new_task(number) for number in range(2))
    studio.post(f"/api/tasks/{studio.task_id(0)}/annotations/", result=[], lead_time=1.0)
    studio.post(f"/api/tasks/{studio.task_id(1)}/annotations/", result=[], was_cancelled=True)
    found = {task["data"]["sample_id"]: read_task(task).snapshots[0] for task in changed(studio)}
    texts = {image: (one.labels, one.skipped, one.note) for image, one in found.items()}
    assert texts == {sha(0): ((), False, ""), sha(1): ((), True, "")}
    assert all(task.is_labeled or task.annotations for task in studio.client.tasks.list_refs()[:1])
