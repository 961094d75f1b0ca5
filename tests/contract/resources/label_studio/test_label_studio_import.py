"""Tasks go into a real Label Studio once, whatever happens on the way."""

from collections.abc import Iterator

import pytest

from resources.label_studio import imports
from resources.label_studio.types import (
    ImportResult,
    LabelStudioDown,
    LabelStudioRefused,
    Prelabel,
    ProjectMissing,
)
from tests.contract.resources.label_studio.label_studio_project import (
    LABELS,
    StudioProject,
    make_studio,
    new_task,
    prelabel,
    sha,
)
from tests.label_studio.proxy import Fault, Proxy, asked_again_at_once
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract

IMPORT = "/import"


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    return make_studio(label_studio, request.node.name)


@pytest.fixture
def proxy(label_studio: LabelStudioServer) -> Iterator[Proxy]:
    with Proxy(label_studio.url) as running:
        yield running


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(imports, "CHUNK", 4)
    monkeypatch.setattr(imports, "WAITS_S", (0.05, 0.05, 0.05))


def test_a_task_is_what_was_asked_for(studio: StudioProject):
    made = studio.client.imports.import_missing(
        [
            new_task(1, suggested=("dog", "bird"), prediction=prelabel(priority=0.25)),
            new_task(2, why='<b>&"', uri="s3://b/ü 1.png"),
        ]
    )
    assert made == ImportResult(new=2, known=0)
    first, second = studio.by_image()[sha(1)], studio.by_image()[sha(2)]
    assert first["data"] == {
        "image": "/data/local-files/?d=raw/1.png",
        "sample_id": sha(1),
        "uri": "raw/1.png",
        "why": "The model is unsure: cat 0.4, dog 0.35.",
    }
    assert first["meta"] == {
        "batch": "batch-1",
        "reasons": {"uncertainty": 0.6},
        "suggested": ["dog", "bird"],
    }
    (prediction,) = first["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("train-1", 0.25)
    (region,) = prediction["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("label", "image", "choices")
    assert region["value"] == {"choices": ["cat"]}
    assert region["meta"] == {"probs": {"cat": 0.6, "dog": 0.2, "bird": 0.2}, "confidence": 0.6}
    assert (second["data"]["why"], second["data"]["uri"]) == ('<b>&"', "s3://b/ü 1.png")
    assert "suggested" not in second["meta"]
    assert second["predictions"] == []


def test_nothing_comes_twice(studio: StudioProject, small_chunks):
    messages: list[int] = []
    tasks = (new_task(number) for number in [1, 2, 3, 3, 4, 5, 1, 6])  # twins in and across chunks
    assert studio.client.imports.import_missing(tasks, progress=messages.append) == ImportResult(
        new=6, known=2
    )
    assert messages == [4, 4]
    again = studio.client.imports.import_missing(new_task(number) for number in range(4, 9))
    assert again == ImportResult(new=2, known=3)
    assert set(studio.by_image()) == {sha(number) for number in range(1, 9)}


@pytest.mark.parametrize("kind", ["lose", "drop", "status"])
def test_an_import_that_breaks_is_looked_into(
    studio: StudioProject, proxy: Proxy, small_chunks, kind
):
    proxy.fail(*[Fault(kind, "POST", IMPORT, status=500)] * 2)
    made = studio.client_at(proxy.url).imports.import_missing(
        new_task(number) for number in range(10)
    )
    assert made == ImportResult(new=10, known=0)
    assert len(studio.by_image()) == 10
    # What was lost on the way back is not sent again.
    assert proxy.count("POST", IMPORT) == (3 if kind == "lose" else 5)


def test_a_killed_import_goes_on(studio: StudioProject, small_chunks):
    def killed():
        yield from (new_task(number) for number in range(6))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.client.imports.import_missing(killed())
    assert len(studio.by_image()) == 4
    made = studio.client.imports.import_missing(new_task(number) for number in range(10))
    assert made == ImportResult(new=6, known=4)
    assert len(studio.by_image()) == 10


def test_a_server_that_dies_on_the_way(studio: StudioProject, proxy: Proxy, small_chunks):
    client = studio.client_at(proxy.url)

    def tasks():
        for number in range(12):
            if number == 8:
                proxy.stop()
            yield new_task(number)

    with asked_again_at_once(), pytest.raises(LabelStudioDown):
        client.imports.import_missing(tasks())
    proxy.start()
    made = client.imports.import_missing(new_task(number) for number in range(12))
    assert (made.new, made.known) == (4, 8)
    assert len(studio.by_image()) == 12


def test_an_answer_that_is_too_late_makes_no_twins(
    studio: StudioProject, small_chunks, monkeypatch
):
    """The first try is still at work when it is given up, and is sent again."""
    body = {"data": {"image": "x", "sample_id": sha(2), "uri": "x", "why": "x"}}

    def late() -> None:
        studio.http.post(f"/api/projects/{studio.id}/import", json=[body])

    held = imports.ImportsApi._send
    sent = []

    def send_twice(*arguments):
        sent.append(arguments)
        if len(sent) == 1:
            raise LabelStudioDown("given up")
        if len(sent) == 2:
            late()  # the first try is done now, after our look
        return held(*arguments)

    monkeypatch.setattr(imports.ImportsApi, "_send", send_twice)
    made = studio.client.imports.import_missing([new_task(1), new_task(2), new_task(3)])
    assert made.new == 3
    assert set(studio.by_image()) == {sha(1), sha(2), sha(3)}


def test_of_twins_the_touched_one_stays(studio: StudioProject):
    body = [{"data": {"image": "x", "sample_id": sha(1), "uri": "x"}}] * 3
    tasks = studio.http.post(
        f"/api/projects/{studio.id}/import", params={"return_task_ids": "true"}, json=body
    ).json()["task_ids"]
    studio.annotate(tasks[1], "bird")
    assert studio.client.imports.import_missing([new_task(1)]) == ImportResult(new=0, known=1)
    assert studio.by_image()[sha(1)]["id"] == tasks[1]


def test_ids_are_given_again_and_images_are_not_mixed_up(studio: StudioProject):
    studio.client.imports.import_missing([new_task(1), new_task(2)])
    second = studio.task_id(2)
    studio.http.delete(f"/api/tasks/{second}/")
    studio.client.imports.import_missing([new_task(3)])
    assert studio.task_id(3) == second  # SQLite gives the number again
    assert studio.client.imports.import_missing([new_task(2), new_task(3)]) == ImportResult(
        new=1, known=1
    )
    refs = {ref.sample_id: ref for ref in studio.client.tasks.list_refs()}
    assert set(refs) == {sha(1), sha(2), sha(3)}
    assert refs[sha(3)].id == second
    assert not refs[sha(3)].is_labeled


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (Prelabel("m", ("fish",), {"cat": 1.0}, 0.5), "fish"),
        (Prelabel("m", ("cat",), {"cat": 1.0}, 3.3), "Score"),
        (Prelabel("m", ("cat", "dog"), {"cat": 1.0}, 0.5), "2 labels for a single choice"),
        (Prelabel("m", (), {"cat": 1.0}, 0.5), "no label"),
        (Prelabel("", ("cat",), {"cat": 1.0}, 0.5), "no model version"),
    ],
)
def test_a_wrong_prediction_is_not_sent(studio: StudioProject, wrong, expected):
    with pytest.raises(LabelStudioRefused, match=expected) as refused:
        studio.client.imports.import_missing([new_task(1), new_task(2, prediction=wrong)])
    assert sha(2) in str(refused.value)
    assert studio.tasks() == []


def test_what_vanishes_while_it_is_imported_is_reported(studio: StudioProject, monkeypatch):
    monkeypatch.setattr(imports.ImportsApi, "_send", lambda *_: [])
    monkeypatch.setattr(imports, "WAITS_S", ())
    with pytest.raises(LabelStudioRefused, match=rf"1 are not there, of {sha(1)}"):
        studio.client.imports.import_missing([new_task(1)])


def test_a_project_that_goes_while_it_is_filled(studio: StudioProject, small_chunks):
    def tasks():
        yield from (new_task(number) for number in range(4))
        studio.server.delete_project(studio.id)
        yield new_task(5)

    with pytest.raises(ProjectMissing):
        studio.client.imports.import_missing(tasks())


def test_several_labels_an_image(label_studio: LabelStudioServer):
    from labelling.labels.schema import LabelSchema

    studio = make_studio(label_studio, "several labels")
    studio.client.project.ensure(LabelSchema(task="multi_label"), LABELS)
    both = Prelabel("m", ("cat", "dog"), {"cat": 0.9, "dog": 0.7, "bird": 0.1}, 0.4)
    studio.client.imports.import_missing([new_task(1, prediction=both)])
    (region,) = studio.by_image()[sha(1)]["predictions"][0]["result"]
    assert region["value"] == {"choices": ["cat", "dog"]}
    assert region["meta"]["confidence"] == pytest.approx(0.4)
