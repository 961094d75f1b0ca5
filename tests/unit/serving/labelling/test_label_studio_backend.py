"""The ML backend by the contract that Label Studio 1.23 was seen to speak (captured requests)."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import serving.labelling.predictions
from object_store.store import ObjectStore
from serving.deployments import DeploymentRecord, record_key
from serving.labelling.predictions import Bounds
from tests.patience import SOON_S, WAIT_S, slowness
from tests.unit.serving.labelling.backend_room import (
    BASIC,
    BEARER,
    PAGE,
    Room,
    captured,
    choices,
    make_room,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def room(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> Room:
    return make_room(tmp_path, publish_model)


def test_health_setup_and_versions_answer_as_captured(room: Room) -> None:
    health = captured("health")
    answer = room.client.get(health["path"], headers=BASIC)
    assert answer.status_code == health["response"]["status"]
    assert answer.json()["status"] == health["response"]["json"]["status"]
    setup = captured("setup_on_create_validate")
    answer = room.client.post(setup["path"], json=setup["body"], headers=BASIC)
    assert answer.json() == {"model_version": ""}
    assert room.client.get("/versions", headers=BASIC).json() == {"versions": []}
    room.deploy("prod", 1, "train-1")
    answer = room.client.post(setup["path"], json=setup["body"], headers=BASIC)
    assert answer.json() == {"model_version": "train-1"}
    assert room.client.get("/versions", headers=BASIC).json() == {"versions": ["train-1"]}


def test_a_task_that_is_opened_gets_the_prediction_of_the_model(room: Room) -> None:
    room.deploy("prod", 1, "train-1")
    [answer] = room.predict(room.task(1, "lime"))
    assert choices(answer) == ["green"]
    assert answer["model_version"] == "train-1"
    (region,) = answer["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("label", "image", "choices")
    probs = region["meta"]["probs"]
    assert set(probs) == {"red", "green", "blue"}
    assert sum(probs.values()) == pytest.approx(1, abs=1e-4)
    assert answer["score"] == region["meta"]["confidence"] == max(probs.values())


def test_label_studio_takes_what_is_answered(room: Room) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    room.deploy("prod", 1, "train-1")
    [answer] = room.predict(room.task(1, "lime"))
    page = LabelInterface(PAGE)
    assert page.validate_prediction(answer, return_errors=True) == []
    assert page.validate_prediction({**answer, "result": []}, return_errors=True) == []
    answer["result"][0]["value"]["choices"] = ["unknown"]
    assert page.validate_prediction(answer, return_errors=True) != []


def test_tasks_are_answered_in_order_and_one_that_fails_is_empty(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.deploy("prod", 1, "train-1")
    colours = ["red", "lime", "blue"] * 7
    tasks = [room.task(number, colour) for number, colour in enumerate(colours)]
    tasks[1]["data"]["uri"] = "raw/gone.png"
    tasks[3]["data"]["sample_id"] = "0" * 64
    tasks[5]["data"]["uri"] = "http://169.254.169.254/latest/meta-data"
    tasks[7]["data"]["uri"] = "raw/../run/secret"
    del tasks[9]["data"]["uri"]
    (room.folder / "raw/11.png").write_bytes(b"no image")
    tasks[11]["data"]["sample_id"] = hashlib.sha256(b"no image").hexdigest()
    with caplog.at_level(logging.WARNING):
        answers = room.predict(*tasks, sample="batch_retrieve_action")
    failed = [number for number, answer in enumerate(answers) if answer == []]
    assert failed == [1, 3, 5, 7, 9, 11]
    names = {"red": "red", "lime": "green", "blue": "blue"}
    for number, answer in enumerate(answers):
        if number not in failed:
            assert choices(answer) == [names[colours[number]]]
    for number, why in ((1, "no raw/gone.png"), (3, "other bytes"), (5, "169.254"), (7, "secret"),
                        (9, "no data.uri"), (11, "not an image")):  # fmt: skip
        assert any(f"task {number} " in line and why in line for line in caplog.messages)


def test_an_address_in_this_store_is_read_there(room: Room) -> None:
    room.deploy("prod", 1, "train-1")
    uri = f"{room.folder.as_uri()}/raw/1.png"
    [answer] = room.predict(room.task(1, "lime", uri=uri))
    assert choices(answer) == ["green"]
    [other] = room.predict(room.task(1, "lime", uri=f"{room.folder.as_uri()}-2/raw/1.png"))
    assert other == []


def test_without_a_model_answers_are_empty_and_quick(room: Room) -> None:
    started = time.monotonic()
    assert room.predict(room.task(1, "lime")) == [[]]
    [interactive] = room.predict(room.task(1, "lime"), sample="interactive")
    assert interactive["result"] == []
    assert time.monotonic() - started < SOON_S


def test_an_interactive_request_is_answered(room: Room) -> None:
    room.deploy("prod", 1, "train-1")
    [answer] = room.predict(room.task(1, "red"), sample="interactive")
    assert choices(answer) == ["red"]


def test_a_label_that_the_project_lacks_is_left_out(room: Room) -> None:
    room.deploy("prod", 1, "train-1", labels=("red", "verdant", "blue"))
    assert room.predict(room.task(1, "lime")) == [[]]
    [answer] = room.predict(room.task(2, "red"))
    assert choices(answer) == ["red"]


@pytest.mark.parametrize("page", ["<View/>", "<View", "<!DOCTYPE a><View/>"])
def test_a_project_that_is_not_ours_gets_nothing(room: Room, page: str) -> None:
    room.deploy("prod", 1, "train-1")
    body = {"tasks": [room.task(1, "red")], "label_config": page}
    answer = room.client.post("/predict", json=body, headers=BASIC)
    assert answer.json() == {"results": [[]]}


def test_multi_label_says_all_it_means_or_nothing(room: Room) -> None:
    half = dict.fromkeys(("red", "green", "blue"), 0.5)
    room.deploy("prod", 1, "train-1", task="multi_label", thresholds=half)
    yellow, black = room.predict(room.task(1, "yellow"), room.task(2, "black"))
    assert sorted(choices(yellow)) == ["green", "red"]
    assert black["result"] == []
    assert black["model_version"] == "train-1"
    assert 0 <= black["score"] <= 1


def test_an_annotator_is_not_kept_waiting_by_a_store_that_hangs(
    tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> None:
    room = make_room(
        tmp_path, publish_model, bounds=Bounds(one_task_s=slowness(), batch_s=slowness())
    )
    room.deploy("prod", 1, "train-1")
    hung = room.task(1, "red")
    (tmp_path / "raw/1.png").unlink()
    os.mkfifo(tmp_path / "raw/1.png")  # opening it waits for a writer that never comes
    good = [room.task(number, "lime") for number in range(2, 10)]
    try:
        with room.client:  # one event loop for all
            started = time.monotonic()
            assert room.predict(hung) == [[]]
            assert time.monotonic() - started < SOON_S
            batch = room.predict(*good, hung, sample="batch_retrieve_action")
            assert [bool(answer) for answer in batch] == [True] * 8 + [False]
            assert choices(room.predict(good[0])[0]) == ["green"]
    finally:
        os.close(os.open(tmp_path / "raw/1.png", os.O_RDWR | os.O_NONBLOCK))


def test_the_old_model_answers_until_the_new_one_is_warm(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.deploy("prod", 1, "train-1")
    task = room.task(1, "lime")
    loading, go_on = threading.Event(), threading.Event()
    download = ObjectStore.download

    def slow(store: ObjectStore, key: str, path: Path) -> None:
        loading.set()
        assert go_on.wait(WAIT_S)
        download(store, key, path)

    monkeypatch.setattr(ObjectStore, "download", slow)
    swap = threading.Thread(target=room.deploy, args=("prod", 2, "train-2"))
    swap.start()
    assert loading.wait(WAIT_S)
    started = time.monotonic()
    [answer] = room.predict(task)
    assert answer["model_version"] == "train-1"
    assert time.monotonic() - started < SOON_S
    go_on.set()
    swap.join(WAIT_S)
    assert room.predict(task)[0]["model_version"] == "train-2"


def test_staging_answers_until_production_does_and_one_model_is_held(room: Room) -> None:
    room.deploy("staging", 1, "train-1")
    assert room.backend.model.version == "train-1"
    room.deploy("prod", 2, "train-2", sharpness=4.0)
    assert room.backend.model.version == "train-2"
    room.deploy("staging", 3, "train-3", sharpness=5.0)
    assert room.backend.model.version == "train-2"
    assert all(slot.serving is None for slot in room.backend.model._staging.slots.values())


def test_a_model_that_cannot_be_served_leaves_what_there_is(room: Room) -> None:
    room.deploy("staging", 1, "train-1")
    digest, key = room.publish(room.folder, "train-2")
    (room.folder / key).write_bytes(b"damaged")
    record = DeploymentRecord.at(2, stage="prod", model_version="train-2", digest=digest,
                                 model_key=key, deployed_by="me", reason="")  # fmt: skip
    path = room.folder / record_key(record)
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json())
    room.backend.model.converge()
    assert room.backend.model.version == "train-1"


@pytest.mark.parametrize(
    ("body", "says"),
    [(b"{", "body"), (b"{}", "tasks"), (b'{"tasks":[{"id":"x"}]}', "tasks.0.id"), (b"", "no body")],
)
def test_a_request_that_is_none_is_refused_by_name(room: Room, body: bytes, says: str) -> None:
    answer = room.client.post("/predict", content=body, headers=BASIC)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_requests_that_were_answered_make_room_for_more(room: Room) -> None:
    room.deploy("prod", 1, "train-1")
    task = room.task(1, "lime")
    answers = [room.predict(task)[0] for _ in range(17)]  # one more than may wait at a time
    assert [choices(answer) for answer in answers] == [["green"]] * 17


def test_a_webhook_is_answered_without_its_body(room: Room) -> None:
    """What it says is not needed, so nobody can hold it open, or make it big."""
    import asyncio

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        pytest.fail("its body is read")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in BEARER.items()]
    scope = {
        "type": "http", "method": "POST", "path": "/webhook", "raw_path": b"/webhook",
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    asyncio.run(room.client.app(scope, receive, send))
    assert sent[0]["status"] == 200
    assert room.backend.hint_file is not None
    assert room.backend.hint_file.exists()


def test_big_pictures_of_a_batch_come_last(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.deploy("prod", 1, "train-1")
    big, *small = [room.task(number, "lime") for number in range(100, 90, -1)]  # 120 px wide, …
    monkeypatch.setattr("training.images.decode_cost.SMALL_MEMORY", 24 * 16 * 119)
    widths, decode = list[int](), serving.labelling.predictions.decode

    def watched(data: bytes, **options: Any) -> Any:
        found = decode(data, **options)
        widths.append(found.width)
        return found

    monkeypatch.setattr("serving.labelling.predictions.decode", watched)
    answers = room.predict(big, *small, sample="batch_retrieve_action")
    assert [choices(answer) for answer in answers] == [["green"]] * 10
    assert widths[-1] == 120
    assert len(widths) == 10
