"""The labelling backend on a store in a bucket."""

import base64
import configparser
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from assets.ingestion.image_index import IMAGES_SCHEMA
from labelling.labels.corrections import parse_correction
from object_store.contents.tables import Table
from object_store.store import ObjectStore
from serving.deployments import record_keys
from tests.testbed.bed import TestBed
from tests.unit.serving.labelling.backend_room import BEARER, Room, choices, make_room

pytestmark = pytest.mark.contract


@pytest.fixture
def store(aws_environment: TestBed) -> ObjectStore:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/line")
    store.ensure()
    return store


@pytest.fixture
def room(store: ObjectStore, tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> Room:
    """A backend that serves a model from the bucket, which has one image and a table of it."""
    (tmp_path / "local").mkdir()
    local = make_room(tmp_path / "local", publish_model)
    local.deploy("prod", 1, "train-1")
    sha256 = local.task(1, "lime")["data"]["sample_id"]
    for path in (tmp_path / "local").rglob("[!.]*.*"):
        if path.is_file():
            store.put(path.relative_to(tmp_path / "local").as_posix(), path)
    row = {"key": "raw/1.png", "sha256": sha256, "status": "ok"}
    Table(store, "images", IMAGES_SCHEMA).append(pa.Table.from_pylist([row], schema=IMAGES_SCHEMA))
    room = make_room(tmp_path / "local", publish_model, store=store)
    room.backend.model.converge()
    return room


def correct(room: Room, image: bytes, label: str) -> tuple[int, str]:
    body: dict[str, Any] = {"image": base64.b64encode(image).decode(), "labels": [label]}
    answer = room.client.post("/corrections", json=body, headers=BEARER)
    return answer.status_code, answer.json()["key"]


def test_a_task_with_an_address_in_the_bucket_is_answered(room: Room, store: ObjectStore) -> None:
    with room.client:
        for uri in (f"{store.url}/raw/1.png", "raw/1.png"):
            [answer] = room.predict(room.task(1, "lime", uri=uri))
            assert choices(answer) == ["green"]
        elsewhere = f"{store.url.replace('/line', '/other')}/raw/1.png"
        assert room.predict(room.task(1, "lime", uri=elsewhere)) == [[]]
        assert room.predict(room.task(2, "red")) == [[]], "it is not in the bucket"


def test_corrections_come_into_the_bucket_once(room: Room, store: ObjectStore) -> None:
    known = (room.folder / "raw/1.png").read_bytes()
    status, key = correct(room, known, "blue")
    assert status == 201
    assert parse_correction(store.get(key), key).raw_key == "raw/1.png"
    assert correct(room, known, "blue") == (200, key)
    room.task(3, "navy")
    fresh = (room.folder / "raw/3.png").read_bytes()
    status, other = correct(room, fresh, "red")
    assert status == 201
    assert store.get(parse_correction(store.get(other), other).raw_key) == fresh
    assert correct(room, known, "blue") == (200, key)
    assert sorted(info.key for info in store.list("corrections/")) == sorted([key, other])


def test_a_big_image_comes_into_the_bucket_whole(room: Room, store: ObjectStore) -> None:
    out = io.BytesIO()
    Image.effect_noise((3600, 3600), 80).save(out, "PNG", compress_level=1)
    image = out.getvalue()
    assert len(image) > 10 * 2**20, "bigger than a part of a multipart upload"
    status, key = correct(room, image, "red")
    assert status == 201
    assert store.get(parse_correction(store.get(key), key).raw_key) == image


def test_the_newest_report_of_the_bucket_is_the_page(room: Room, store: ObjectStore) -> None:
    assert "labelling_report" in room.client.get("/").text
    for moment in (1, 2):
        store.put(f"reports/labelling/{moment:013d}.html", b"<h1>%d</h1>" % moment)
        assert room.client.get("/").text == f"<h1>{moment}</h1>"


def test_credentials_of_a_profile_are_found(
    room: Room, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = configparser.ConfigParser()
    profile["line"] = {
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    with (tmp_path / "credentials").open("w") as file:
        profile.write(file)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "line")
    assert record_keys(ObjectStore(url=store.url), "prod")


def test_a_bucket_that_does_not_answer_keeps_nobody_waiting(
    room: Room, aws_environment: TestBed
) -> None:
    task = room.task(1, "lime")
    with room.client:
        assert room.predict(task) != [[]]
        aws_environment.fault("GetObject", "slow", times=-1, seconds=6)
        assert room.predict(task) == [[]]
