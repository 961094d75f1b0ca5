"""Corrections: from the request of the predictor to what lies in the store."""

import base64
import errno
import io
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import serving.labelling.corrections
from assets.ingestion.image_index import IMAGES_SCHEMA
from labelling.labels.corrections import (
    CORRECTIONS_PREFIX,
    Correction,
    CorrectionError,
    correction_key,
    parse_correction,
    parse_correction_key,
)
from labelling.labels.snapshots import labels_hash
from object_store.contents.tables import Table
from object_store.rows import ObjectInfo
from object_store.store import ObjectStore
from serving.endpoint.inference import MAX_BODY_BYTES
from tests.patience import WAIT_S
from tests.unit.serving.labelling.backend_room import BEARER, Room, make_room

pytestmark = pytest.mark.unit

SAID = [
    {
        "stage": "prod",
        "model_version": "train-1",
        "digest": "d" * 64,
        "prediction_id": "p-1",
        "predicted": ["red"],
        "scores": {"red": 0.9, "green": 0.1},
    }
]


@pytest.fixture
def room(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> Room:
    room = make_room(tmp_path, publish_model)
    room.deploy("prod", 1, "train-1")
    return room


def picture(colour: str = "lime", kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(out, kind)
    return out.getvalue()


def send(room: Room, image: bytes, *labels: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"image": base64.b64encode(image).decode(), "labels": labels, "said": SAID, **fields}
    answer = room.client.post("/corrections", json=body, headers=BEARER)
    facts: dict[str, Any] = answer.json()
    return answer.status_code, facts


def stored(room: Room) -> list[Correction]:
    found = sorted((room.folder / "corrections").glob("*"))
    return [parse_correction(path.read_bytes(), f"corrections/{path.name}") for path in found]


def test_a_correction_and_its_image_are_in_the_store(room: Room) -> None:
    image = picture()
    status, answer = send(room, image, "green")
    assert status == 201
    (correction,) = stored(room)
    assert answer == {"sha256": correction.sha256, "key": correction_key(correction), "fresh": True}
    assert correction.raw_key == f"raw/corrections/{correction.sha256}.png"
    assert (room.folder / correction.raw_key).read_bytes() == image
    assert (correction.labels, correction.by) == (("green",), "predictor")
    assert [opinion.model_dump(mode="json") for opinion in correction.said] == SAID
    assert abs((datetime.now(UTC) - correction.corrected_at).total_seconds()) < 60


def test_a_double_click_is_one_correction_and_a_change_of_mind_two(room: Room) -> None:
    image = picture()
    first = send(room, image, "green")
    assert send(room, image, "green") == (200, {**first[1], "fresh": False})
    assert send(room, image, "blue")[0] == 201
    assert send(room, image, "green")[0] == 201
    assert send(room, picture("red"), "blue")[0] == 201
    assert [c.labels for c in sorted(stored(room), key=lambda c: c.corrected_at)] == [
        ("green",), ("blue",), ("green",), ("blue",)]  # fmt: skip


def test_clicks_at_once_are_one_correction(room: Room) -> None:
    image = picture()
    with room.client:
        threads = [threading.Thread(target=send, args=(room, image, "green")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert len(stored(room)) == 1


def test_the_second_click_waits_until_the_first_is_in_the_store(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, both_sent = list[str](), threading.Event()
    named, create = ObjectStore.named, ObjectStore.create

    def counted(store: ObjectStore, prefix: str, stem: str) -> Sequence[ObjectInfo]:
        if prefix == CORRECTIONS_PREFIX:
            looked.append(stem)
        return named(store, prefix, stem)

    def slow(store: ObjectStore, key: str, data: bytes | Path, *, durable: bool = False) -> bool:
        both_sent.wait(0.5)  # the other one has the time to look, if it does not wait
        return create(store, key, data, durable=durable)

    monkeypatch.setattr(ObjectStore, "named", counted)
    monkeypatch.setattr(ObjectStore, "create", slow)
    with room.client:
        threads = [threading.Thread(target=send, args=(room, picture(), "green")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert len(looked) == 4
    assert len(stored(room)) == 1


def test_an_image_that_the_store_has_is_not_kept_twice(room: Room) -> None:
    task = room.task(7, "lime")
    store = ObjectStore(url=room.folder.as_uri())
    store.ensure()
    table = Table(store, "images", IMAGES_SCHEMA)
    row = {"key": "raw/7.png", "sha256": task["data"]["sample_id"], "status": "ok"}
    for key in ("raw/gone.png", "raw/7.png"):  # two parts; what the first says is not true any more
        table.append(pa.Table.from_pylist([{**row, "key": key}], schema=IMAGES_SCHEMA))
    assert send(room, (room.folder / "raw/7.png").read_bytes(), "blue")[0] == 201
    (correction,) = stored(room)
    assert correction.raw_key == "raw/7.png"
    assert not (room.folder / "raw/corrections").exists()


@pytest.mark.parametrize(
    ("kind", "extension"), [("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif")]
)
def test_the_extension_is_of_what_is_in_the_file(room: Room, kind: str, extension: str) -> None:
    send(room, picture(kind=kind), "green")
    assert stored(room)[0].raw_key.endswith(f".{extension}")


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"labels": []}, 400, "no label"),
        ({"labels": ["red", "green"]}, 400, "single_label"),
        ({"labels": ["dog"]}, 400, "unknown label 'dog'; known: red, green, blue"),
        ({"labels": "red"}, 400, "labels"),
        ({"image": "not base64!"}, 400, "image is not base64"),
        ({"image": base64.b64encode(b"hello").decode()}, 400, "not an image"),
        ({"image": base64.b64encode(picture()[:60]).decode()}, 400, "truncated"),
        ({"image": base64.b64encode(bytes(MAX_BODY_BYTES + 1)).decode()}, 413, "25 MB"),
        ({"image": ""}, 400, "image"),
        ({"by": ""}, 400, "by"),
        ({"more": 1}, 400, "more"),
    ],
    ids=[
        "none",
        "two",
        "unknown",
        "no-list",
        "no-base64",
        "no-image",
        "truncated",
        "too-big",
        "no-file",
        "nobody",
        "extra",
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(
    room: Room, fields: dict[str, Any], status: int, says: str
) -> None:
    body = {"image": base64.b64encode(picture()).decode(), "labels": ["green"], **fields}
    answer = room.client.post("/corrections", json=body, headers=BEARER)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    assert not (room.folder / "corrections").exists()
    assert not (room.folder / "raw").exists()


def test_several_labels_where_the_model_gives_several(room: Room) -> None:
    half = dict.fromkeys(("red", "green", "blue"), 0.5)
    room.deploy("prod", 2, "train-2", task="multi_label", thresholds=half)
    offered = room.client.get("/corrections/labels", headers=BEARER).json()
    assert offered == {
        "task": "multi_label", "labels": ["red", "green", "blue"], "model_version": "train-2"
    }  # fmt: skip
    assert send(room, picture(), "green", "blue")[0] == 201
    assert send(room, picture(), "blue", "green")[0] == 200, "the order says nothing"


def test_a_store_that_does_not_answer_is_reported_and_sending_again_helps(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = type(room.backend.store.place)
    create = place.create

    def full(folder: object, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        if key.startswith("corrections/"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return create(folder, key, data, durable=durable)

    with monkeypatch.context() as broken:
        broken.setattr(place, "create", full)
        status, answer = send(room, picture(), "green")
    assert status == 503
    assert "send it again later" in answer["error"]["message"]
    assert "the disk is full: free some space" in caplog.text
    assert send(room, picture(), "green")[0] == 201
    assert len(stored(room)) == 1


def test_an_object_that_is_no_correction_is_named(room: Room) -> None:
    send(room, picture(), "green")
    (correction,) = stored(room)
    key = correction_key(correction)
    with pytest.raises(CorrectionError, match=rf"{key} is not a correction: by: "):
        parse_correction(json.dumps({**correction.model_dump(mode="json"), "by": ""}).encode(), key)
    with pytest.raises(CorrectionError, match="holds the correction of"):
        parse_correction(correction.to_json(), key.replace(correction.sha256, "0" * 64))
    with pytest.raises(CorrectionError, match="move it out of corrections/"):
        parse_correction_key("corrections/notes.json")


@given(
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True),
    st.datetimes(datetime(2020, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)),
)
def test_a_key_shows_image_time_and_labels(labels: list[str], moment: datetime) -> None:
    correction = Correction(
        sha256="a" * 64, raw_key="raw/a.png", labels=tuple(labels), by="me", corrected_at=moment
    )
    key = correction_key(correction)
    sha256, milliseconds, named = parse_correction_key(key)
    assert (sha256, named) == ("a" * 64, labels_hash(labels))
    assert 0 <= moment.timestamp() * 1000 - milliseconds < 1.01
    assert parse_correction(correction.to_json(), key) == correction


def test_corrections_are_decoded_one_at_a_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of few bytes can take hundreds of megabytes while it is decoded."""
    inside, most, lock = [0], [0], threading.Lock()
    honest = serving.labelling.corrections.inspect

    def watched(data: bytes, **options: Any) -> Any:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.05)  # the others have the time to come, if they do not wait
        with lock:
            inside[0] -= 1
        return honest(data, **options)

    monkeypatch.setattr("serving.labelling.corrections.inspect", watched)
    with room.client:
        threads = [
            threading.Thread(target=send, args=(room, picture(colour), "green"))
            for colour in ("red", "lime", "blue", "white")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert (most[0], len(stored(room))) == (1, 4)


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_score_that_json_cannot_hold_is_refused(room: Room, score: str) -> None:
    body = json.dumps({"image": base64.b64encode(picture()).decode(), "labels": ["green"],
                       "said": SAID}).replace("0.9", score)  # fmt: skip
    answer = room.client.post("/corrections", content=body, headers=BEARER)
    assert answer.status_code == 400
    assert "scores.red" in answer.json()["error"]["message"]
    assert stored(room) == []


def test_what_is_said_later_counts_though_the_clock_was_set_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2001, 1, 1, tzinfo=tz)

    send(room, picture(), "green")
    monkeypatch.setattr(serving.labelling.corrections, "datetime", Behind)
    assert send(room, picture(), "blue")[0] == 201
    assert [c.labels for c in stored(room)] == [("green",), ("blue",)], "in the order of their keys"


def test_a_correction_can_be_said_again_where_the_newest_is_damaged(room: Room) -> None:
    first = send(room, picture(), "green")[1]["key"]
    (room.folder / first).write_bytes(b"")
    status, answer = send(room, picture(), "blue")
    assert status == 201
    assert answer["key"] > first
