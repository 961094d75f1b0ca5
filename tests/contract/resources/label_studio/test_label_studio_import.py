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
from tests.contract.resources.label_studio.label_studio_yard import (
    LABELS,
    Yard,
    make_yard,
    new_task,
    prelabel,
    sha,
)
from tests.label_studio.proxy import Fault, Proxy
from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.contract

IMPORT = "/import"


@pytest.fixture
def yard(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> Yard:
    return make_yard(label_studio, request.node.name)


@pytest.fixture
def proxy(label_studio: LabelStudioServer) -> Iterator[Proxy]:
    with Proxy(label_studio.url) as running:
        yield running


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(imports, "CHUNK", 4)
    monkeypatch.setattr(imports, "WAITS_S", (0.05, 0.05, 0.05))


def test_a_task_is_what_was_asked_for(yard: Yard):
    made = yard.port.imports.import_missing(
        [
            new_task(1, suggested=("dog", "bird"), prediction=prelabel(priority=0.25)),
            new_task(2, why='<b>&"', uri="s3://b/ü 1.png"),
        ]
    )
    assert made == ImportResult(new=2, known=0)
    first, second = yard.by_image()[sha(1)], yard.by_image()[sha(2)]
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


def test_nothing_comes_twice(yard: Yard, small_chunks):
    said: list[int] = []
    tasks = (new_task(number) for number in [1, 2, 3, 3, 4, 5, 1, 6])  # twins in and across chunks
    assert yard.port.imports.import_missing(tasks, progress=said.append) == ImportResult(
        new=6, known=2
    )
    assert said == [4, 4]
    again = yard.port.imports.import_missing(new_task(number) for number in range(4, 9))
    assert again == ImportResult(new=2, known=3)
    assert set(yard.by_image()) == {sha(number) for number in range(1, 9)}


@pytest.mark.parametrize("kind", ["lose", "drop", "status"])
def test_an_import_that_breaks_is_looked_into(yard: Yard, proxy: Proxy, small_chunks, kind):
    proxy.fail(*[Fault(kind, "POST", IMPORT, status=500)] * 2)
    made = yard.port_at(proxy.url).imports.import_missing(new_task(number) for number in range(10))
    assert made == ImportResult(new=10, known=0)
    assert len(yard.by_image()) == 10
    # What was lost on the way back is not sent again.
    assert proxy.count("POST", IMPORT) == (3 if kind == "lose" else 5)


def test_a_killed_import_goes_on(yard: Yard, small_chunks):
    def killed():
        yield from (new_task(number) for number in range(6))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        yard.port.imports.import_missing(killed())
    assert len(yard.by_image()) == 4
    made = yard.port.imports.import_missing(new_task(number) for number in range(10))
    assert made == ImportResult(new=6, known=4)
    assert len(yard.by_image()) == 10


def test_a_server_that_dies_on_the_way(yard: Yard, small_chunks):
    def tasks():
        for number in range(12):
            if number == 8:
                yard.server.stop()
            yield new_task(number)

    with pytest.raises(LabelStudioDown):
        yard.port.imports.import_missing(tasks())
    yard.server.start()
    made = yard.port.imports.import_missing(new_task(number) for number in range(12))
    assert (made.new, made.known) == (4, 8)
    assert len(yard.by_image()) == 12


def test_an_answer_that_is_too_late_makes_no_twins(yard: Yard, small_chunks, monkeypatch):
    """The first try is still at work when it is given up, and is sent again."""
    body = {"data": {"image": "x", "sample_id": sha(2), "uri": "x", "why": "x"}}

    def late() -> None:
        yard.client.post(f"/api/projects/{yard.id}/import", json=[body])

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
    made = yard.port.imports.import_missing([new_task(1), new_task(2), new_task(3)])
    assert made.new == 3
    assert set(yard.by_image()) == {sha(1), sha(2), sha(3)}


def test_of_twins_the_touched_one_stays(yard: Yard):
    body = [{"data": {"image": "x", "sample_id": sha(1), "uri": "x"}}] * 3
    tasks = yard.client.post(
        f"/api/projects/{yard.id}/import", params={"return_task_ids": "true"}, json=body
    ).json()["task_ids"]
    yard.annotate(tasks[1], "bird")
    assert yard.port.imports.import_missing([new_task(1)]) == ImportResult(new=0, known=1)
    assert yard.by_image()[sha(1)]["id"] == tasks[1]


def test_ids_are_given_again_and_images_are_not_mixed_up(yard: Yard):
    yard.port.imports.import_missing([new_task(1), new_task(2)])
    second = yard.task_id(2)
    yard.client.delete(f"/api/tasks/{second}/")
    yard.port.imports.import_missing([new_task(3)])
    assert yard.task_id(3) == second  # SQLite gives the number again
    assert yard.port.imports.import_missing([new_task(2), new_task(3)]) == ImportResult(
        new=1, known=1
    )
    refs = {ref.sample_id: ref for ref in yard.port.tasks.list_refs()}
    assert set(refs) == {sha(1), sha(2), sha(3)}
    assert refs[sha(3)].id == second
    assert not refs[sha(3)].is_labeled


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Prelabel("m", ("fish",), {"cat": 1.0}, 0.5), "fish"),
        (Prelabel("m", ("cat",), {"cat": 1.0}, 3.3), "Score"),
        (Prelabel("m", ("cat", "dog"), {"cat": 1.0}, 0.5), "2 labels for a single choice"),
        (Prelabel("m", (), {"cat": 1.0}, 0.5), "no label"),
        (Prelabel("", ("cat",), {"cat": 1.0}, 0.5), "no model version"),
    ],
)
def test_a_wrong_prediction_is_not_sent(yard: Yard, wrong, said):
    with pytest.raises(LabelStudioRefused, match=said) as refused:
        yard.port.imports.import_missing([new_task(1), new_task(2, prediction=wrong)])
    assert sha(2) in str(refused.value)
    assert yard.tasks() == []


def test_what_vanishes_while_it_is_imported_is_said(yard: Yard, monkeypatch):
    monkeypatch.setattr(imports.ImportsApi, "_send", lambda *_: [])
    monkeypatch.setattr(imports, "WAITS_S", ())
    with pytest.raises(LabelStudioRefused, match=rf"1 are not there, of {sha(1)}"):
        yard.port.imports.import_missing([new_task(1)])


def test_a_project_that_goes_while_it_is_filled(yard: Yard, small_chunks):
    def tasks():
        yield from (new_task(number) for number in range(4))
        yard.server.delete_project(yard.id)
        yield new_task(5)

    with pytest.raises(ProjectMissing):
        yard.port.imports.import_missing(tasks())


def test_several_labels_an_image(label_studio: LabelStudioServer):
    from labelling.labels.schema import LabelSchema

    yard = make_yard(label_studio, "several labels")
    yard.port.project.ensure(LabelSchema(task="multi_label"), LABELS)
    both = Prelabel("m", ("cat", "dog"), {"cat": 0.9, "dog": 0.7, "bird": 0.1}, 0.4)
    yard.port.imports.import_missing([new_task(1, prediction=both)])
    (region,) = yard.by_image()[sha(1)]["predictions"][0]["result"]
    assert region["value"] == {"choices": ["cat", "dog"]}
    assert region["meta"]["confidence"] == pytest.approx(0.4)
