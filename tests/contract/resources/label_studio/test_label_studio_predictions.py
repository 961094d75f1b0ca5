"""Pre-labels in a real Label Studio: which are there, which are shown, and in which order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from labelling.labels.schema import LabelSchema
from resources.label_studio import predictions as label_studio_predictions
from resources.label_studio.types import LabelStudioRefused
from tests.contract.resources.label_studio.label_studio_project import (
    LABELS,
    StudioProject,
    make_studio,
    new_task,
    prelabel,
    sha,
)
from tests.label_studio.proxy import Fault, Proxy
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    studio = make_studio(label_studio, request.node.name)
    studio.client.imports.import_missing(
        new_task(number, prediction=prelabel("train-1")) for number in range(6)
    )
    return studio


@pytest.fixture
def proxy(label_studio: LabelStudioServer) -> Iterator[Proxy]:
    with Proxy(label_studio.url) as running:
        yield running


def versions(studio: StudioProject) -> dict[int, list[str]]:
    """Versions of the predictions of each image."""
    tasks = studio.by_image()
    return {
        number: sorted(one["model_version"] for one in tasks[sha(number)]["predictions"])
        for number in range(6)
    }


def test_added_once_and_not_to_what_is_labelled(studio: StudioProject):
    studio.annotate(studio.task_id(0))
    studio.annotate(studio.task_id(1), was_cancelled=True)
    studio.draft(studio.task_id(2))
    wanted = {sha(number): prelabel("train-2", "dog") for number in range(6)}
    messages: list[int] = []
    assert (
        studio.client.predictions.add(
            {**wanted, sha("not there"): prelabel()}, progress=messages.append
        )
        == 4
    )
    assert messages == [7]
    assert studio.client.predictions.add(wanted) == 0
    both = ["train-1", "train-2"]
    one = ["train-1"]
    assert versions(studio) == {0: one, 1: one, 2: both, 3: both, 4: both, 5: both}
    assert studio.client.predictions.add({}) == 0


@pytest.mark.parametrize("kind", ["lose", "drop", "status"])
def test_an_answer_that_is_lost(studio: StudioProject, proxy: Proxy, monkeypatch, kind):
    monkeypatch.setattr(label_studio_predictions, "WAITS_S", (0.05, 0.05))
    proxy.fail(Fault(kind, "POST", "/import/predictions", status=502))
    wanted = {sha(number): prelabel("train-2") for number in range(6)}
    assert studio.client_at(proxy.url).predictions.add(wanted) == 6
    assert set(map(tuple, versions(studio).values())) == {("train-1", "train-2")}
    assert proxy.count("POST", "/import/predictions") == (1 if kind == "lose" else 2)


def test_twins_of_a_prediction_go(studio: StudioProject):
    task = studio.task_id(3)
    region = studio.by_image()[sha(3)]["predictions"][0]["result"]
    twin = {"task": task, "model_version": "train-1", "score": 0.5, "result": region}
    studio.http.post(f"/api/projects/{studio.id}/import/predictions", json=[twin, twin])
    assert len(versions(studio)[3]) == 3
    assert studio.client.predictions.add({sha(3): prelabel("train-1")}) == 0
    assert versions(studio)[3] == ["train-1"]


def test_those_of_a_class_that_was_renamed_are_made_again(studio: StudioProject):
    studio.client.predictions.add({sha(number): prelabel("train-2") for number in range(6)})
    (label,) = prelabel("train-2").labels
    studio.draft(studio.task_id(1))
    names = ["hound" if name == label else name for name in LABELS]
    studio.client.project.ensure(LabelSchema(), names, renamed=[label])
    wanted = {sha(number): prelabel("train-2", "hound") for number in (0, 1)}
    assert studio.client.predictions.add(wanted) == 1
    assert studio.client.predictions.add(wanted) == 0
    both = ["train-1", "train-2"]
    assert versions(studio)[0] == both
    (made,) = [
        one for one in studio.by_image()[sha(0)]["predictions"] if one["model_version"] == "train-2"
    ]
    assert made["result"][0]["value"]["choices"] == ["hound"]


def test_a_wrong_one_is_not_sent(studio: StudioProject):
    with pytest.raises(LabelStudioRefused, match=f"{sha(2)}.*fish"):
        studio.client.predictions.add(
            {sha(1): prelabel("train-2"), sha(2): prelabel("train-2", "fish")}
        )
    assert set(map(tuple, versions(studio).values())) == {("train-1",)}


def test_shown_and_served_by_priority(studio: StudioProject):
    wanted = {sha(n): prelabel("train-2", priority=p) for n, p in enumerate([5, 3, 1, 2, 4, 6])}
    wanted = {key: prelabel("train-2", priority=one.priority / 10) for key, one in wanted.items()}
    studio.client.predictions.add(wanted)
    studio.client.predictions.show_version("train-2")
    assert studio.client.project.read().model_version == "train-2"
    served = []
    for _ in range(6):
        task = studio.get(f"/api/projects/{studio.id}/next")
        served.append(task["data"]["sample_id"])
        assert [one["model_version"] for one in task["predictions"]] == ["train-2"]
        studio.annotate(task["id"])
    assert served == [sha(n) for n in (2, 3, 1, 4, 0, 5)]


def promote(studio: StudioProject) -> datetime:
    """Let train-2 be shown; a moment that is more than an hour ago."""
    studio.client.predictions.add({sha(number): prelabel("train-2") for number in range(6)})
    studio.client.predictions.show_version("train-2")
    return datetime.now(UTC) - timedelta(hours=1, minutes=1)


def test_a_page_that_was_opened_before_a_promotion_can_be_saved(studio: StudioProject):
    (old,) = studio.by_image()[sha(3)]["predictions"]
    promote(studio)
    half = datetime.now(UTC) - timedelta(minutes=30)
    assert studio.client.predictions.drop_superseded("train-2", half) == 0
    saved = studio.annotate(studio.task_id(3), parent_prediction=old["id"])
    assert saved["parent_prediction"] == old["id"]


def test_older_ones_go_after_an_hour_but_where_somebody_started_from_them(studio: StudioProject):
    studio.annotate(studio.task_id(0))
    studio.draft(studio.task_id(1))
    since = promote(studio)
    assert studio.client.predictions.drop_superseded("train-2", since) == 4
    both, new = ["train-1", "train-2"], ["train-2"]
    assert versions(studio) == {0: ["train-1"], 1: both, 2: new, 3: new, 4: new, 5: new}
    assert studio.client.predictions.drop_superseded("train-2", since) == 0


def test_some_at_a_time(studio: StudioProject, monkeypatch):
    monkeypatch.setattr(label_studio_predictions, "DROPPED_AT_ONCE", 4)
    since = promote(studio)
    assert [studio.client.predictions.drop_superseded("train-2", since) for _ in range(3)] == [
        4,
        2,
        0,
    ]
    assert set(map(tuple, versions(studio).values())) == {("train-2",)}


def test_a_version_without_predictions_is_not_shown(studio: StudioProject):
    with pytest.raises(LabelStudioRefused, match=r"no predictions of 'train-9'.*train-1"):
        studio.client.predictions.show_version("train-9")
    assert studio.client.project.read().model_version == "train-1"  # of the import
