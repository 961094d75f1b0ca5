"""Tasks as Label Studio gives them become snapshots; payloads captured from a real server."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling.label_studio.tasks import TaskError, read_task
from labelling.labels.snapshots import parse_snapshot

pytestmark = pytest.mark.unit

SAMPLES = Path(__file__).parents[3] / "label_studio" / "samples"
IMAGE = "a" * 64
SOON = "2026-11-23T14:00:00.000001Z"


def task(**fields: Any) -> dict[str, Any]:
    """The annotated task of the captured list, of an image of ours."""
    listed = json.loads((SAMPLES / "tasks_list_fields_all.json").read_text())["tasks"]
    (found,) = [item for item in listed if item["annotations"]]
    return found | {"data": found["data"] | {"sample_id": IMAGE}} | fields


def annotation(**fields: Any) -> dict[str, Any]:
    return task()["annotations"][0] | fields


def region(*choices: str, name: str = "label", kind: str = "choices") -> dict[str, Any]:
    return {"from_name": name, "to_name": "image", "type": kind, "value": {"choices": [*choices]}}


def prediction(number: int, version: str, label: str, **fields: Any) -> dict[str, Any]:
    result = [region(label) | fields]
    return {"id": number, "model_version": version, "result": result, "score": 0.1,
            "created_at": "2026-11-23T13:43:00Z"}  # fmt: skip


def test_a_captured_task_becomes_a_snapshot():
    (snapshot,) = read_task(task()).snapshots
    assert (snapshot.sha256, snapshot.labels) == (IMAGE, ("dog",))
    assert snapshot.annotator == "label_studio:admin@example.com"
    assert snapshot.source == "label_studio"
    assert (snapshot.project, snapshot.task, snapshot.annotation_id) == (5, 2, "1")
    assert snapshot.annotated_at.isoformat() == "2026-11-23T13:43:48.091565+00:00"
    assert not snapshot.skipped
    assert parse_snapshot(snapshot.to_json(), "key") == snapshot


def test_a_captured_export_shows_the_prediction_it_started_from():
    (exported,) = json.loads((SAMPLES / "export_json_multilabel.json").read_text())
    given = json.dumps(exported).replace('"s0"', f'"{IMAGE}"').replace('"tags"', '"label"')
    (snapshot,) = read_task(json.loads(given)).snapshots
    assert snapshot.labels == ("cat", "dog")
    assert snapshot.prediction is not None
    assert snapshot.prediction.model_version == "m1"
    assert (snapshot.prediction.labels, snapshot.prediction.confidence) == (("cat",), 0.7)


def test_the_identity_outlives_changes_and_no_number_given_twice():
    first = read_task(task()).snapshots[0].unique_id
    changed = task(annotations=[annotation(updated_at=SOON, result=[region("cat")])])
    assert read_task(changed).snapshots[0].unique_id == first
    moved = task(annotations=[annotation(project=77)])  # saved while the task was withdrawn
    (elsewhere,) = read_task(moved).snapshots
    assert (elsewhere.unique_id, elsewhere.project) == (first, 5)
    again = task(annotations=[annotation(created_at=SOON)])  # SQLite gave the number to another
    assert read_task(again).snapshots[0].unique_id != first
    with_id = task(annotations=[annotation(unique_id="c33f58f2-b985-4ad7-8973-82741b008e31")])
    assert read_task(with_id).snapshots[0].unique_id == first


def test_a_skip_says_nothing_and_is_known_as_one():
    (skipped,) = read_task(task(annotations=[annotation(was_cancelled=True)])).snapshots
    assert (skipped.skipped, skipped.labels) == (True, ())


def test_the_prediction_that_was_shown_is_what_it_started_from():
    late = prediction(9, "new", "fox") | {"created_at": "2026-11-23T15:00:00Z"}
    known = [prediction(1, "old", "cat"), prediction(2, "shown", "dog"), late]
    probabilities = {"probs": {"dog": 0.8, "cat": 0.2}, "confidence": 0.75}
    known[1]["result"][0]["meta"] = probabilities

    def origin(shown: str, **fields: Any) -> tuple[str, float | None]:
        given = task(predictions=known, annotations=[annotation(**fields)])
        found = read_task(given, shown).snapshots[0].prediction
        assert found is not None
        return found.model_version, found.confidence

    assert origin("shown") == ("shown", 0.75)
    assert origin("new") == ("shown", 0.75)  # it came later: the newest before it was shown
    assert origin("shown", parent_prediction=1) == ("old", None)
    assert read_task(task(predictions=[34])).snapshots[0].prediction is None
    del probabilities["confidence"]
    assert origin("shown") == ("shown", 0.8)


@pytest.mark.parametrize(
    ("result", "labels", "named"),
    [
        ([region("cat", name="animal")], (), "'animal' and has none named 'label'"),
        ([region("cat"), region("dog")], ("cat", "dog"), "2 regions"),
        ([region(kind="rectanglelabels")], (), "rectanglelabels"),
        ([region("cat"), region("x", name="remark", kind="textarea")], ("cat",), None),
        ([], (), None),
    ],
)
def test_what_is_odd_is_named_and_kept_in_sight(result, labels, named):
    reading = read_task(task(annotations=[annotation(result=result)]))
    assert reading.snapshots[0].labels == labels
    if named is None:
        assert reading.problems == ()
    else:
        assert named in reading.problems[0]
        assert "task 2" in reading.problems[0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"data": {"image": "x"}}, "has no sample_id"),
        ({"data": {"sample_id": "../../etc"}}, "has no sample_id"),
        ({"updated_at": "yesterday"}, "updated_at"),
        ({"annotations": [{"id": 1}]}, "created_at"),
    ],
)
def test_what_is_no_task_of_ours_is_named(wrong, named):
    with pytest.raises(TaskError, match=f"task 2 .*{named}"):
        read_task(task(**wrong))


def test_a_user_who_is_gone_or_shows_no_address_is_distinguished():
    def annotator(**fields: Any) -> str:
        return read_task(task(annotations=[annotation(**fields)])).snapshots[0].annotator

    assert annotator(created_username="") == "label_studio:1"
    assert annotator(created_username="", completed_by={"id": 7}) == "label_studio:7"
    assert annotator(created_username="", completed_by=None) == "label_studio:unknown"
    assert annotator(created_username="Ann Lee a@b.org, 3") == "label_studio:a@b.org"
