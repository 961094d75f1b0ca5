"""The HTTP contract of the endpoint host, in process."""

import base64
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from object_store.errors import StoreUnavailable
from object_store.store import ObjectStore
from serving.deployments import DeploymentRecord, record_key
from serving.endpoint.app import create_app
from serving.endpoint.host import EndpointHost
from serving.endpoint.inference import MAX_BODY_BYTES
from tests.patience import WAIT_S
from tests.stores import make_store

pytestmark = pytest.mark.unit

PROD = "/endpoints/shop-prod/invocations"
PNG = {"content-type": "image/png"}


def png(colour: str, size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def instances(*images: bytes) -> bytes:
    return json.dumps(
        {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}
    ).encode()


@pytest.fixture
def deploy(
    tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> Callable[..., DeploymentRecord]:
    def write(stage: str, created_ms: int, version: str, **fields: object) -> DeploymentRecord:
        digest, key = publish_model(tmp_path, version, **fields)
        record = DeploymentRecord.at(
            created_ms,
            stage=stage,
            model_version=version,
            digest=digest,
            model_key=key,
            deployed_by="me",
            reason="test",
        )
        path = tmp_path / record_key(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json())
        return record

    return write


@pytest.fixture
def host(tmp_path: Path) -> EndpointHost:
    return EndpointHost(make_store(tmp_path), "shop")


@pytest.fixture
def client(host: EndpointHost) -> TestClient:
    # Not entered: without its lifespan the host converges only when a test says so.
    return TestClient(create_app(host, workers=2, max_pending=2), raise_server_exceptions=False)


def test_one_image_is_ranked_by_the_deployed_model(host, client, deploy) -> None:
    record = deploy("prod", 1, "train-1")
    host.converge()
    answer = client.post(PROD, content=png("lime"), headers=PNG)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model_version"], body["digest"]) == ("train-1", record.digest)
    [prediction] = body["predictions"]
    assert next(entry["label"] for entry in prediction["labels"]) == "green"
    assert prediction["predicted"] == ["green"]
    scores = [entry["score"] for entry in prediction["labels"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    assert (
        client.post("/invocations", content=png("lime"), headers=PNG).json()["digest"]
        == record.digest
    )


def test_many_images_of_many_sizes_are_answered_in_order(host, client, deploy) -> None:
    deploy("prod", 1, "train-1")
    host.converge()
    body = instances(png("red"), png("blue", (30, 20)), png("lime"), png("red", (900, 700)))
    answer = client.post(
        PROD + "?top_k=1",
        content=body,
        headers={
            "content-type": "application/json; charset=utf-8",
            "X-Amzn-SageMaker-Inference-Id": "order-7",
            "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
        },
    )
    predictions = answer.json()["predictions"]
    assert [p["labels"][0]["label"] for p in predictions] == ["red", "blue", "green", "red"]
    assert {len(p["labels"]) for p in predictions} == {1}
    assert [p["prediction_id"] for p in predictions] == [f"order-7-{i}" for i in range(4)]
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=1"


def test_multi_label_names_what_reaches_its_threshold(host, client, deploy) -> None:
    deploy(
        "prod",
        1,
        "train-1",
        task="multi_label",
        thresholds={"red": 0.5, "green": 0.5, "blue": 1e-9},
    )
    host.converge()
    [yellow] = client.post(PROD + "?top_k=1", content=png("yellow"), headers=PNG).json()[
        "predictions"
    ]
    assert sorted(yellow["predicted"]) == ["blue", "green", "red"]
    [black] = client.post(PROD, content=png("black"), headers=PNG).json()["predictions"]
    assert black["predicted"] == ["blue"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "says"),
    [
        (b"x" * (MAX_BODY_BYTES + 1), "image/png", 413, "25 MB"),
        (png("red"), "text/csv", 415, "text/csv"),
        (png("red"), "", 415, "image/jpeg"),
        (b"", "image/png", 400, "no body"),
        (png("red")[:40], "image/png", 400, "the image cannot be read"),
        (b"GIF89a nonsense", "image/png", 400, "the image cannot be read"),
        (b"{", "application/json", 400, "not JSON"),
        (b"[" * 100_000, "application/json", 400, "not JSON"),
        (b"\xff\xfe", "application/json", 400, "not JSON"),
        (b'{"instances":[]}', "application/json", 400, "one or more"),
        (b'{"instances":[{"b64":"A"},{"x":1}]}', "application/json", 400, "instances[0].b64"),
        (instances(*[png("red")] * 1001), "application/json", 413, "1001 instances"),
        (b'{"instances":["AAAA"]}', "application/json", 400, "instances[0]"),
        (instances(png("red"), b"no image"), "application/json", 400, "instances[1]"),
    ],
    ids=[
        "too-big",
        "other-type",
        "no-type",
        "empty",
        "truncated",
        "broken-gif",
        "broken-json",
        "deep-json",
        "not-utf8",
        "no-instances",
        "no-base64",
        "too-many",
        "no-object",
        "second-no-image",
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    host, client, deploy, content, content_type, status, says
) -> None:
    deploy("prod", 1, "train-1")
    host.converge()
    headers = {"content-type": content_type} if content_type else {}
    for path in (PROD, "/invocations"):
        answer = client.post(path, content=content, headers=headers)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert says in error["message"]
        assert error["code"]
    assert client.post(PROD, content=png("red"), headers=PNG).status_code == 200


def test_no_model_unknown_endpoint_bad_query_and_unknown_path(host, client) -> None:
    loading = client.post(PROD, content=png("red"), headers=PNG)
    assert (loading.status_code, loading.json()["error"]["code"]) == (503, "no_model")
    assert "being loaded" in loading.json()["error"]["message"], "the store was not asked yet"
    host.converge()
    assert client.get("/ping").json() | {"store": ""} == {
        "status": "ok",
        "project": "shop",
        "store": "",
        "store_problem": None,
    }
    index = client.get("/").json()
    assert index["endpoints"]["/endpoints/shop-prod"].startswith("POST an image to /endpoints/shop")
    assert all(
        client.get(path).status_code == 200 for path in (*index["endpoints"], index["health"])
    )
    assert client.get("/endpoints/shop-prod").json()["status"] == "NotFound"
    for path, status, says in (
        (PROD, 503, "nothing is deployed"),
        ("/endpoints/other-prod/invocations", 404, "shop-prod"),
        (PROD + "?top_k=0", 400, "top_k"),
        ("/nowhere", 404, "Not Found"),
    ):
        answer = client.post(path, content=png("red"), headers=PNG)
        assert answer.status_code == status
        assert says in answer.json()["error"]["message"]


def test_a_stage_that_is_full_refuses_while_the_other_answers(
    host, client, deploy, monkeypatch
) -> None:
    deploy("prod", 1, "train-1")
    deploy("staging", 1, "train-2")
    host.converge()
    prod = host.slots["shop-prod"].serving.model
    inside, go_on = threading.Semaphore(0), threading.Event()
    predict_images = prod.predict_images

    def slow(images):
        inside.release()
        assert go_on.wait(WAIT_S)
        return predict_images(images)

    monkeypatch.setattr(prod, "predict_images", slow)
    # One worker is left for staging: `workers` is 2 and prod's second request waits outside.
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                client.post(PROD, content=png("red"), headers=PNG).status_code
            )
        )
        for _ in range(2)
    ]
    with client:  # one event loop for all threads
        for thread in threads:
            thread.start()
        assert inside.acquire(timeout=WAIT_S)
        assert inside.acquire(timeout=WAIT_S)
        full = client.post(PROD, content=png("red"), headers=PNG)
        assert (full.status_code, full.json()["error"]["code"]) == (429, "too_many_requests")
        assert full.headers["Retry-After"]
        status = client.get("/endpoints/shop-staging")
        assert status.status_code == 200
        go_on.set()
        for thread in threads:
            thread.join(WAIT_S)
        assert answers == [200, 200]
        assert client.post(PROD, content=png("red"), headers=PNG).status_code == 200


def test_a_request_finishes_on_the_model_it_began_with(host, client, deploy, monkeypatch) -> None:
    old = deploy("prod", 1, "train-1")
    host.converge()
    began, go_on = threading.Event(), threading.Event()
    model = host.slots["shop-prod"].serving.model
    predict_images = model.predict_images

    def slow(images):
        began.set()
        assert go_on.wait(WAIT_S)
        return predict_images(images)

    monkeypatch.setattr(model, "predict_images", slow)
    answers: list[str] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            client.post(PROD, content=png("red"), headers=PNG).json()["digest"]
        )
    )
    thread.start()
    assert began.wait(WAIT_S)
    new = deploy("prod", 2, "train-2", sharpness=4.0)
    host.converge()
    assert client.post(PROD, content=png("red"), headers=PNG).json()["digest"] == new.digest
    go_on.set()
    thread.join(WAIT_S)
    assert answers == [old.digest]


def test_a_defect_is_answered_as_an_error_of_the_contract(
    host, client, deploy, monkeypatch
) -> None:
    deploy("prod", 1, "train-1")
    host.converge()

    def broken(images):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(host.slots["shop-prod"].serving.model, "predict_images", broken)
    answer = client.post(PROD, content=png("red"), headers=PNG)
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "code": "internal_error",
        "message": "ZeroDivisionError: boom",
    }


def test_host_keeps_what_it_serves_when_the_newest_cannot_be_served(
    host, deploy, tmp_path: Path
) -> None:
    good = deploy("prod", 1, "train-1")
    host.converge()
    bad = deploy("prod", 2, "train-2")
    (tmp_path / bad.model_key).write_bytes(b"not a tar")
    host.converge()
    status = host.slots["shop-prod"].status
    assert (status.status, status.digest) == ("Failed", good.digest)
    assert bad.model_key in (status.failure_reason or "")
    restarted = EndpointHost(make_store(tmp_path), "shop")
    restarted.converge()
    assert restarted.slots["shop-prod"].status == status


def test_host_refuses_a_model_that_the_record_does_not_mean(host, deploy, tmp_path: Path) -> None:
    first, second = deploy("prod", 1, "train-1"), deploy("prod", 2, "train-2", sharpness=3.0)
    (tmp_path / second.model_key).write_bytes((tmp_path / first.model_key).read_bytes())
    host.converge()
    status = host.slots["shop-prod"].status
    assert (status.status, status.digest) == ("Failed", first.digest)
    assert "digest" in (status.failure_reason or "")


def test_a_store_that_does_not_answer_changes_nothing(host, deploy, monkeypatch) -> None:
    good = deploy("prod", 1, "train-1")
    host.converge()

    def silent(*_: object, **__: object) -> None:
        raise StoreUnavailable("s3://bucket: the network is down\nDebug source: …")

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "list", silent)
        host.converge()
    assert host.store_problem == "s3://bucket: the network is down"
    assert host.slots["shop-prod"].status.status == "InService"
    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "download", silent)
        new = deploy("prod", 2, "train-2", sharpness=4.0)
        host.slots["shop-prod"].retry_at = 0
        host.converge()
    status = host.slots["shop-prod"].status
    assert (status.status, status.digest) == ("Updating", good.digest)
    host.slots["shop-prod"].retry_at = 0
    host.converge()
    assert host.slots["shop-prod"].status.digest == new.digest
    assert host.store_problem is None


def test_production_takes_over_the_model_that_staging_has_loaded(host, deploy) -> None:
    deploy("staging", 1, "train-1")
    deploy("prod", 2, "train-1")
    host.converge()
    staging, prod = host.slots["shop-staging"], host.slots["shop-prod"]
    assert staging.serving.model is prod.serving.model


def test_a_record_that_cannot_be_served_is_not_tried_again_and_again(
    host, deploy, tmp_path: Path, monkeypatch
) -> None:
    bad = deploy("prod", 1, "train-1")
    (tmp_path / bad.model_key).write_bytes(b"not a tar")
    tried: list[str] = []
    download = ObjectStore.download
    monkeypatch.setattr(ObjectStore, "download", lambda *of: (tried.append(of[1]), download(*of)))
    for _ in range(3):
        host.converge()
    assert tried == [bad.model_key]
    assert host.slots["shop-prod"].status.status == "Failed"


def test_a_silent_store_is_asked_again_only_after_a_while(host, deploy, monkeypatch) -> None:
    deploy("prod", 1, "train-1")
    asked: list[str] = []

    def silent(store: ObjectStore, prefix: str, after: str | None = None) -> None:
        asked.append(prefix)
        raise StoreUnavailable("the network is down")

    monkeypatch.setattr(ObjectStore, "list", silent)
    for slot in host.slots.values():
        slot.backoff_s = 3600.0
    for _ in range(3):
        host.converge()
    assert sorted(asked) == ["endpoints/prod", "endpoints/staging"]


def test_a_record_under_the_key_of_another_is_not_served(host, deploy, tmp_path: Path) -> None:
    good = deploy("prod", 1, "train-1")
    host.converge()
    moved = record_key(good).replace(f"{1:013d}", f"{9:013d}")
    (tmp_path / moved).write_bytes((tmp_path / record_key(good)).read_bytes())
    host.converge()
    status = host.slots["shop-prod"].status
    assert (status.status, status.digest) == ("Failed", good.digest)
    assert moved in (status.failure_reason or "")
