"""What one request may cost an endpoint: bytes, pixels, seconds, numbers; in process."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from PIL import Image
from starlette.requests import ClientDisconnect

import serving.endpoint.inference
from serving.deployments import DeploymentRecord, record_key
from serving.endpoint.app import create_app
from serving.endpoint.host import EndpointHost
from serving.endpoint.invocations import bounded_int
from serving.errors import RequestRefused
from serving.limits.bodies import BodyBuffer
from serving.limits.limits import LimitsWrong, ServingLimits
from serving.limits.work import Lanes, Ticket, in_lane, while_waited_for
from tests.patience import WAIT_S
from tests.stores import make_store
from training.images.decode_cost import DecodeCost, decode_cost

pytestmark = pytest.mark.unit

PROD = "/endpoints/shop-prod/invocations"
PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def picture(colour: str = "red", size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def instances(*images: bytes) -> bytes:
    return json.dumps(
        {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}
    ).encode()


@pytest.fixture
def host(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> EndpointHost:
    digest, key = publish_model(tmp_path, "train-1")
    record = DeploymentRecord.at(
        1, stage="prod", model_version="train-1", digest=digest, model_key=key, deployed_by="me",
        reason="test",
    )  # fmt: skip
    path = tmp_path / record_key(record)
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json())
    host = EndpointHost(make_store(tmp_path), "shop")
    host.converge()
    return host


def client_of(host: EndpointHost, **limits: float) -> TestClient:
    app = create_app(host, workers=2, max_pending=2, limits=ServingLimits(**limits))
    return TestClient(app, raise_server_exceptions=False)


def refusal(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    return answer.status_code, error["code"], error["message"]


# --- numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", ["1" * 4300, "1" * 500, "9" * 30, "0", "-1", "1e3", "1.0", "٣", "", "1000001"]
)
def test_a_top_k_out_of_bounds_is_a_bad_request(host: EndpointHost, number: str) -> None:
    client = client_of(host)
    headers = {**PNG, ATTRIBUTES: f"top_k={number}".encode()}
    status, code, message = refusal(client.post(PROD, content=picture(), headers=headers))
    assert (status, code) == (400, "bad_request")
    assert ATTRIBUTES in message
    asked = client.post(f"{PROD}?top_k={number}", content=picture(), headers=PNG)
    if number not in ("1.0", "٣", ""):  # which a query may be, or means none
        assert refusal(asked)[:2] == (400, "bad_request")


def test_top_k_by_header_counts_from_one(host: EndpointHost) -> None:
    client = client_of(host)
    for number in (1, 2, 1_000_000):
        answer = client.post(
            PROD, content=picture(), headers={**PNG, ATTRIBUTES: f"top_k={number}"}
        )
        assert len(answer.json()["predictions"][0]["labels"]) == min(number, 3)


@pytest.mark.parametrize(
    ("name", "longest"), [(ATTRIBUTES, 1024), ("X-Amzn-SageMaker-Inference-Id", 64)]
)
def test_headers_are_as_long_as_sagemaker_lets_them_be(
    host: EndpointHost, name: str, longest: int
) -> None:
    client = client_of(host)
    fits = client.post(PROD, content=picture(), headers={**PNG, name: "x" * longest})
    assert fits.status_code == 200
    more = client.post(PROD, content=picture(), headers={**PNG, name: "x" * (longest + 1)})
    assert refusal(more)[:2] == (400, "bad_request")
    assert name in refusal(more)[2]


def test_whole_numbers_have_bounds() -> None:
    assert bounded_int("8080", 0, 65535) == 8080
    assert bounded_int("0", 0, 65535) == 0
    for text in ("65536", "-1", "+1", " 1", "1_000", "²", "", "9" * 5000):
        assert bounded_int(text, 0, 65535) is None


def test_limits_come_from_the_environment_with_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ServingLimits(max_pixels=7, body_s=0.25).to_environment().items():
        monkeypatch.setenv(name, value)
    assert ServingLimits.from_environment() == ServingLimits(max_pixels=7, body_s=0.25)
    with monkeypatch.context() as both:
        both.setenv("IMGCLF_SERVING", '{"max_pixels": 9, "answer_s": 4}')
        expected = ServingLimits(max_pixels=7, body_s=0.25, answer_s=50.0)
        assert ServingLimits.from_environment() == expected, "the single ones go before"
        for name in ServingLimits.model_fields:
            both.delenv(f"IMGCLF_SERVING__{name.upper()}")
        assert ServingLimits.from_environment() == ServingLimits(max_pixels=9, answer_s=4)
        for wrong in ("[]", "{", '{"max_pixels": 0}', '{"max_pixel": 5}', '{"answer_s": 1e999}'):
            both.setenv("IMGCLF_SERVING", wrong)
            with pytest.raises(LimitsWrong, match="IMGCLF_SERVING"):
                ServingLimits.from_environment()
    for wrong in ("0", "", "many", "9" * 5000, "1e400", "nan"):
        for name in ("MAX_PIXELS", "MAX_REQUEST_PIXELS", "BODY_S", "ANSWER_S"):
            with monkeypatch.context() as one:
                one.setenv(f"IMGCLF_SERVING__{name}", wrong)
                with pytest.raises(LimitsWrong, match=f"IMGCLF_SERVING__{name}") as raised:
                    ServingLimits.from_environment()
                assert "[serving]" in str(raised.value)


# --- JSON -------------------------------------------------------------------------------


@pytest.mark.parametrize("line_break", ["\n", "\r\n", " \n", "\t"])
def test_base64_with_line_breaks_is_base64(host: EndpointHost, line_break: str) -> None:
    encoded = base64.encodebytes(picture("lime", (200, 300))).decode().replace("\n", line_break)
    body = json.dumps({"instances": [{"b64": encoded}]})
    answer = client_of(host).post(PROD, content=body, headers=JSON)
    assert answer.json()["predictions"][0]["predicted"] == ["green"]


@pytest.mark.parametrize("encoded", ["QUJ D*", "QUJ", "=QUJD", "QUJD\v", "Я"])
def test_what_is_not_base64_stays_refused(host: EndpointHost, encoded: str) -> None:
    body = json.dumps({"instances": [{"b64": encoded}]})
    answer = client_of(host).post(PROD, content=body, headers=JSON)
    assert refusal(answer)[:2] == (400, "bad_instance")


def test_json_of_very_many_values_is_refused_by_their_number(host: EndpointHost) -> None:
    for value in (b"{}", b"[]", b"1", b'{"a":1}'):
        body = b'{"instances":[' + b",".join([value] * 60_000) + b"]}"
        answer = client_of(host).post(PROD, content=body, headers=JSON)
        assert refusal(answer)[:2] == (400, "bad_json")
        assert "values" in refusal(answer)[2]


def test_as_many_images_as_are_allowed_are_answered_and_one_more_is_not(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.endpoint.inference.MAX_INSTANCES", 3)
    client = client_of(host)
    assert client.post(PROD, content=instances(*[picture()] * 3), headers=JSON).status_code == 200
    more = client.post(PROD, content=instances(*[picture()] * 4), headers=JSON)
    assert refusal(more)[:2] == (413, "too_large")


def test_an_answer_has_a_bounded_number_of_scores(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.endpoint.inference.MAX_SCORES", 6)
    client, three = client_of(host), instances(*[picture()] * 3)
    assert refusal(client.post(PROD, content=three, headers=JSON))[1] == "too_large"
    assert "top_k" in refusal(client.post(PROD, content=three, headers=JSON))[2]
    assert client.post(f"{PROD}?top_k=2", content=three, headers=JSON).status_code == 200


# --- pixels -----------------------------------------------------------------------------


def test_pixels_of_an_image_and_of_a_request_have_a_bound(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(host, max_pixels=100, max_request_pixels=250)
    fits, wide = picture(size=(10, 10)), picture(size=(101, 1))
    assert client.post(PROD, content=fits, headers=PNG).status_code == 200
    assert client.post(PROD, content=instances(fits, fits), headers=JSON).status_code == 200
    with monkeypatch.context() as unread:
        unread.setattr("serving.endpoint.inference.decode", lambda *_, **__: pytest.fail("decoded"))
        status, code, message = refusal(client.post(PROD, content=wide, headers=PNG))
        assert (status, code) == (400, "unreadable_image")
        assert "max_pixels under [serving]" in message
        many = client.post(PROD, content=instances(fits, fits, wide), headers=JSON)
        assert "instances[2]" in refusal(many)[2]
        status, code, message = refusal(
            client.post(PROD, content=instances(fits, fits, fits), headers=JSON)
        )
        assert (status, code) == (413, "too_large")
        assert "max_request_pixels under [serving]" in message


def test_decoding_costs_what_is_held_in_memory() -> None:
    size = (640, 800)
    whole = 640 * 800
    png = decode_cost(picture(size=size), fit=32)
    assert (png.pixels, png.memory) == (whole, 4 * whole)
    jpeg = decode_cost(picture(size=size, kind="JPEG"), fit=32)
    assert (jpeg.pixels, jpeg.work) == (whole, 4 * whole // 64)
    assert decode_cost(picture(size=size, kind="JPEG"), fit=80).work == 4 * whole // 16
    unreduced = decode_cost(picture(size=size, kind="JPEG"), fit=160)
    assert (unreduced.memory, unreduced.work) == (24 * whole, 4 * whole), "a net takes more"
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JPEG", progressive=True)
    assert decode_cost(file.getvalue(), fit=32).memory > 2 * whole, "its coefficients are all held"
    plain = b"P3 640 800 255 " + b"0 " * 9
    assert decode_cost(plain, fit=32).work > 20 * whole, "decoded in Python"
    for nothing in (b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", picture()[:20]):
        assert decode_cost(nothing, fit=32) == DecodeCost()


def test_many_decoded_images_are_held_a_few_at_a_time(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = host.slots["shop-prod"].serving.model
    held: list[int] = []
    predict_images = model.predict_images

    def counted(images: list[np.ndarray]) -> np.ndarray:
        held.append(len(images))
        return predict_images(images)

    monkeypatch.setattr("serving.endpoint.inference._CHUNK_BYTES", 2 * 8 * 8 * 3)
    monkeypatch.setattr(model, "predict_images", counted)
    answer = client_of(host).post(PROD, content=instances(*[picture()] * 5), headers=JSON)
    assert len(answer.json()["predictions"]) == 5
    assert held == [2, 2, 1]


def test_a_picture_too_big_for_the_memory_is_refused_by_name(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("serving.endpoint.inference.decode", full)
    answer = client_of(host).post(PROD, content=instances(picture(), picture()), headers=JSON)
    assert refusal(answer)[:2] == (413, "too_large")
    assert "instances[0]" in refusal(answer)[2]


def test_big_requests_do_not_hold_up_small_ones(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    decode = serving.endpoint.inference.decode

    def slow(data: bytes, **options: Any) -> Image.Image:
        if len(data) == len(big):
            began.set()
            assert go_on.wait(WAIT_S)
        return decode(data, **options)

    monkeypatch.setattr("serving.endpoint.inference.decode", slow)
    monkeypatch.setattr("serving.endpoint.inference.SMALL_MEMORY", 10_000)
    app = create_app(host, workers=1, max_pending=8)
    small, big = picture(), picture(size=(200, 200))
    statuses: list[int] = []
    with TestClient(app) as client:
        threads = [
            threading.Thread(
                target=lambda: statuses.append(
                    client.post(PROD, content=big, headers=PNG).status_code
                )
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        assert began.wait(WAIT_S)
        assert client.post(PROD, content=small, headers=PNG).status_code == 200
        assert not statuses
        go_on.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert statuses == [200] * 3


# --- time -------------------------------------------------------------------------------


def test_an_answer_that_takes_too_long_is_refused_and_its_work_ends(
    host: EndpointHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, count = threading.Event(), [0]
    decode = serving.endpoint.inference.decode

    def slow(data: bytes, **options: Any) -> Image.Image:
        count[0] += 1
        assert go_on.wait(WAIT_S)
        return decode(data, **options)

    monkeypatch.setattr("serving.endpoint.inference.decode", slow)
    with client_of(host, answer_s=0.2) as client:
        late = client.post(PROD, content=instances(*[picture()] * 3), headers=JSON)
        assert refusal(late)[:2] == (503, "timed_out")
        go_on.set()
    assert count[0] <= 1, "the images behind the first are not decoded any more"


def asgi_request(*messages: dict[str, Any], **headers: str) -> tuple[Request, asyncio.Event]:
    """A request whose messages come one by one; then nothing, until the event is set: it is gone."""
    waiting, gone = list(messages), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw}, receive), gone


def part(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def test_work_for_a_client_that_left_is_dropped() -> None:
    lanes = Lanes(1)
    began, go_on, steps = threading.Event(), threading.Event(), list[str]()

    def under_way(ticket: Ticket) -> None:
        began.set()
        assert go_on.wait(WAIT_S)
        ticket.check()
        steps.append("second step")

    async def story() -> None:
        first, gone_first = asgi_request()
        second, gone_second = asgi_request()
        tickets = Ticket(600), Ticket(600)
        running = asyncio.create_task(
            while_waited_for(
                first, tickets[0], in_lane(lanes.small, tickets[0], under_way, tickets[0])
            )
        )
        await asyncio.to_thread(began.wait, WAIT_S)
        queued = asyncio.create_task(
            while_waited_for(
                second, tickets[1], in_lane(lanes.small, tickets[1], steps.append, "x")
            )
        )
        gone_first.set()
        gone_second.set()
        for task in (running, queued):
            with pytest.raises(ClientDisconnect):
                await task
        go_on.set()

    asyncio.run(story())
    lanes.small.submit(lambda: None).result(WAIT_S)  # whatever was queued has had its turn
    lanes.close()
    assert steps == []


def test_what_is_dropped_in_the_queue_holds_no_memory() -> None:
    import weakref

    class Body:
        pass

    async def story() -> None:
        lanes, go_on = Lanes(1), threading.Event()
        lanes.small.submit(go_on.wait, WAIT_S)
        request, gone = asgi_request()
        ticket, body = Ticket(600), Body()
        held = weakref.ref(body)
        task = asyncio.create_task(
            while_waited_for(request, ticket, in_lane(lanes.small, ticket, id, body))
        )
        del body
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(ClientDisconnect):
            await task
        del task
        await asyncio.sleep(0)
        assert held() is None
        go_on.set()
        lanes.close()

    asyncio.run(story())


# --- bodies -----------------------------------------------------------------------------


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def story() -> None:
        for room in (BodyBuffer(body_s=600, stall_s=0.05), BodyBuffer(body_s=0.05)):
            request, _ = asgi_request(part(b"x"))
            with pytest.raises(RequestRefused) as refused:
                async with room.body(request, 100):
                    pytest.fail("there is no body")
            assert (refused.value.status, refused.value.code) == (408, "request_timeout")

    asyncio.run(story())


def test_a_body_that_trickles_is_given_up_though_it_never_pauses() -> None:
    async def story() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return part(b"x")

        request = Request({"type": "http", "headers": []}, receive)
        with pytest.raises(RequestRefused) as refused:
            async with BodyBuffer(body_s=0.2, stall_s=600).body(request, 10**9):
                pytest.fail("there is no body")
        assert refused.value.status == 408

    asyncio.run(story())


def test_the_slowest_body_gives_way_when_there_is_no_room() -> None:
    async def story() -> None:
        room = BodyBuffer(body_s=600, max_bytes=100)
        slow, _ = asgi_request(part(b"s" * 60))

        async def hold() -> None:
            async with room.body(slow, 100):
                pytest.fail("it never ends")

        holding = asyncio.create_task(hold())
        await asyncio.sleep(0)
        quick, _ = asgi_request(part(b"q" * 50), part(b"q" * 40, more=False))
        async with room.body(quick, 100) as body:
            assert body == b"q" * 90
            with pytest.raises(RequestRefused) as refused:
                await holding
            assert refused.value.status == 408
            third, _ = asgi_request(part(b"t" * 20, more=False))
            with pytest.raises(RequestRefused) as full:
                async with room.body(third, 100):
                    pytest.fail("what is being answered does not give way")
            assert (full.value.status, full.value.code) == (429, "too_many_requests")
        fourth, _ = asgi_request(part(b"t" * 20, more=False))
        async with room.body(fourth, 100) as body:
            assert body == b"t" * 20

    asyncio.run(story())


def test_a_body_without_end_is_cut() -> None:
    async def story() -> None:
        read = [0]

        async def receive() -> dict[str, Any]:
            read[0] += 1
            assert read[0] < 1000
            return part(b"x" * 10)

        room = BodyBuffer(body_s=600)
        with pytest.raises(RequestRefused) as refused:
            async with room.body(Request({"type": "http", "headers": []}, receive), 100):
                pytest.fail("it is too big")
        assert (refused.value.status, refused.value.code) == (413, "too_large")
        assert read[0] > 20, "a little more is read on: many clients listen only at the end"

    asyncio.run(story())


@pytest.mark.parametrize(
    "headers", [{"content-length": "9" * 19}, {"content-length": "101", "expect": "100-continue"}]
)
def test_a_body_that_says_it_is_too_big_is_not_read(headers: dict[str, str]) -> None:
    async def story() -> None:
        async def receive() -> dict[str, Any]:
            pytest.fail("read")

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request({"type": "http", "headers": raw}, receive)
        with pytest.raises(RequestRefused) as refused:
            async with BodyBuffer(body_s=600).body(request, 100):
                pytest.fail("it is too big")
        assert refused.value.status == 413

    asyncio.run(story())


@pytest.mark.parametrize("content_type", [PNG, JSON])
def test_a_compressed_body_is_refused_as_such(
    host: EndpointHost, content_type: dict[str, str]
) -> None:
    headers = {**content_type, "content-encoding": "gzip"}
    status, code, says = refusal(client_of(host).post(PROD, content=picture(), headers=headers))
    assert (status, code) == (415, "unsupported_encoding")
    assert "gzip" in says
    plain = {**content_type, "content-encoding": "identity"}
    body = picture() if content_type is PNG else instances(picture())
    assert client_of(host).post(PROD, content=body, headers=plain).status_code == 200
