"""The edge's Lambda function: what it asks the endpoint, and what it tells the client."""

import base64
import io
import json
import logging
from collections.abc import Iterator

import boto3
import pytest
from botocore import exceptions
from botocore.response import StreamingBody
from botocore.stub import Stubber

from cloudformation.edge import handler as edge
from tests.testbed.edge_events import PNG, REQUEST_ID, Context, event, refused, url_of

pytestmark = pytest.mark.unit

ANSWER = b'{"model_version": "train-1", "predictions": []}'


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """SageMaker Runtime; checks each request against the service's own shapes."""
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    monkeypatch.setenv("ENDPOINT_NAME", "shop-prod")
    monkeypatch.setattr(edge, "runtime", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def answers(
    endpoint: Stubber, asked: dict, body: bytes = ANSWER, media_type: str = "application/json"
) -> None:
    stream = StreamingBody(io.BytesIO(body), len(body))
    named = {"EndpointName": "shop-prod", "InferenceId": REQUEST_ID}
    endpoint.add_response(
        "invoke_endpoint", {"Body": stream, "ContentType": media_type}, named | asked
    )


@pytest.mark.parametrize(
    ("made", "media_type"),
    [
        (event(PNG, "image/png"), "image/png"),
        (event(PNG, "Image/PNG; charset=binary"), "image/png"),
        (event(PNG, "application/x-image"), "application/x-image"),
        (event(url_of(PNG), "text/plain;charset=UTF-8"), "image/png"),
        (event(f"\n{url_of(PNG)}\n", "text/plain"), "image/png"),
        (event(url_of(PNG).encode(), "text/plain"), "image/png"),
        (event(url_of(PNG, "DATA:image/JPEG;name=a.jpg;base64"), "text/plain"), "image/jpeg"),
        (event(json.dumps({"image": url_of(PNG)}), "application/json"), "image/png"),
    ],
)
def test_each_form_of_an_image_reaches_the_model_as_its_bytes(
    endpoint: Stubber, made: dict, media_type: str
) -> None:
    answers(endpoint, {"Body": PNG, "ContentType": media_type})
    given = edge.handler(made, Context())
    assert (given["statusCode"], base64.b64decode(given["body"])) == (200, ANSWER)
    assert given["isBase64Encoded"] is True
    assert given["headers"] == {"content-type": "application/json", "x-request-id": REQUEST_ID}


@pytest.mark.parametrize(
    "body", ['{"instances":[{"b64":"aGk="}]}', "[1]", "{broken", "7", "[" * 200_000]
)
def test_other_json_is_left_for_the_model_to_judge(endpoint: Stubber, body: str) -> None:
    answers(
        endpoint,
        {"Body": body.encode(), "ContentType": "application/json", "CustomAttributes": "top_k=3"},
        body=b"\x00\xff",
        media_type="application/x-thing",
    )
    given = edge.handler(event(body, "application/json", top_k="3"), Context())
    assert (given["statusCode"], base64.b64decode(given["body"])) == (200, b"\x00\xff")
    assert given["headers"]["content-type"] == "application/x-thing"


@pytest.mark.parametrize("top_k", ["", "0", "-1", "1.5", "many", "1,2", "١", "1234567"])
def test_a_top_k_that_is_no_number_is_refused(endpoint: Stubber, top_k: str) -> None:
    status, code, message = refused(event(PNG, "image/png", top_k=top_k))
    assert (status, code) == (400, "bad_request")
    assert message.startswith("top_k: ")


@pytest.mark.parametrize(
    ("made", "status", "code"),
    [
        (event(None, "image/png"), 400, "empty_body"),
        (event(None, "application/json"), 400, "empty_body"),
        (event(b"", "image/png"), 400, "empty_body"),
        (event(PNG), 415, "unsupported_media_type"),
        (event(PNG, "application/octet-stream"), 415, "unsupported_media_type"),
        (event(PNG, "multipart/form-data; boundary=x"), 415, "unsupported_media_type"),
        (event("a,b", "text/csv"), 415, "unsupported_media_type"),
        (event(PNG, "image/\r\nx"), 415, "unsupported_media_type"),
        (event("hello", "text/plain"), 400, "bad_data_url"),
        (event("data:image/png,rawbytes", "text/plain"), 400, "bad_data_url"),
        (event(url_of(PNG, "data:text/html;base64"), "text/plain"), 400, "bad_data_url"),
        (event(url_of(PNG, "data:image/\n;base64"), "text/plain"), 400, "bad_data_url"),
        (event("data:image/png;base64,%%%", "text/plain"), 400, "bad_data_url"),
        (event('{"image": 7}', "application/json"), 400, "bad_data_url"),
        (event('{"image": "aGk="}', "application/json"), 400, "bad_data_url"),
        (event("data:image/png;base64,", "text/plain"), 400, "empty_body"),
    ],
)
def test_what_no_model_reads_is_refused_here(
    endpoint: Stubber, made: dict, status: int, code: str
) -> None:
    answer = refused(made)
    assert answer[:2] == (status, code)
    assert "data URL" in answer[2], "the remedy is named"


@pytest.mark.parametrize("text", [False, True])
def test_the_size_that_counts_is_that_of_the_image(endpoint: Stubber, text: bool) -> None:
    def made(image: bytes) -> dict:
        return event(url_of(image), "text/plain") if text else event(image, "image/png")

    largest = bytes(edge.MAX_BYTES)
    answers(endpoint, {"Body": largest, "ContentType": "image/png"})
    assert edge.handler(made(largest), Context())["statusCode"] == 200
    status, code, message = refused(made(largest + b"1"))
    assert (status, code) == (413, "too_large")
    assert "4,194,305 bytes, more than 4,194,304 (4 MB)" in message


def test_the_largest_event_fits_into_lambda() -> None:
    """6,291,456 bytes (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""
    headers_and_context = 3 * 10_240  # API Gateway takes 10,240 bytes of headers
    for made in (
        event(bytes(edge.MAX_BYTES), "image/png"),
        event(json.dumps({"image": url_of(bytes(edge.MAX_BYTES))}), "application/json"),
    ):
        assert len(json.dumps(made)) + headers_and_context < 6_291_456


def test_an_answer_too_long_for_lambda_is_reported(endpoint: Stubber) -> None:
    answers(endpoint, {"Body": PNG, "ContentType": "image/png"}, body=bytes(edge.MAX_BYTES + 1))
    status, code, message = refused(event(PNG, "image/png"))
    assert (status, code) == (413, "too_large")
    assert "the answer" in message
    assert "top_k" in message


def model_error(status: int | None, original: str) -> dict:
    fields = {"OriginalStatusCode": status, "OriginalMessage": original}
    return {key: value for key, value in fields.items() if value is not None}


CONTRACT_ERROR = '{"error": {"code": "unreadable_image", "message": "the image cannot be read"}}'


@pytest.mark.parametrize("status", [400, 413, 415, 429, 503, 504])
def test_the_models_own_refusal_is_passed_on(endpoint: Stubber, status: int) -> None:
    endpoint.add_client_error(
        "invoke_endpoint",
        "ModelError",
        "Received client error",
        modeled_fields=model_error(status, CONTRACT_ERROR),
    )
    answer = refused(event(PNG, "image/png"))
    assert answer == (status, "unreadable_image", "the image cannot be read")


@pytest.mark.parametrize(
    ("code", "fields", "message", "status", "expected"),
    [
        ("ModelError", model_error(400, CONTRACT_ERROR[:-9]), "cut", 400, "refused"),
        ("ModelError", model_error(400, "<html>"), "other", 400, "refused"),
        ("ModelError", model_error(500, '{"secret": 1}'), "secret", 500, "internal_error"),
        ("ModelError", model_error(None, ""), "Your invocation timed out", 504, "timeout"),
        ("ModelError", model_error(0, ""), "secret", 500, "internal_error"),
        ("ThrottlingException", {}, "secret", 429, "too_many_requests"),
        ("ModelNotReadyException", {}, "secret", 503, "model_not_ready"),
        ("ServiceUnavailable", {}, "secret", 503, "unavailable"),
        ("InternalDependencyException", {}, "secret", 503, "unavailable"),
        ("ValidationError", {}, "Endpoint secret of account 1 not found", 503, "no_endpoint"),
        ("AccessDeniedException", {}, "role secret may not", 500, "internal_error"),
        ("InternalFailure", {}, "secret", 500, "internal_error"),
    ],
)
def test_sagemakers_errors_are_reported_in_the_contracts_form(
    endpoint: Stubber,
    caplog: pytest.LogCaptureFixture,
    code: str,
    fields: dict,
    message: str,
    status: int,
    expected: str,
) -> None:
    endpoint.add_client_error("invoke_endpoint", code, message, modeled_fields=fields)
    with caplog.at_level(logging.INFO, logger="edge"):
        given = edge.handler(event(PNG, "image/png"), Context())
    error = json.loads(given["body"])["error"]
    assert (given["statusCode"], error["code"]) == (status, expected)
    assert "secret" not in given["body"], "no internals"
    assert message in caplog.text, "but the log has them"
    assert ("retry-after" in given["headers"]) == (status in (429, 503))
    assert (REQUEST_ID in error["message"]) == (status == 500)


class Line:
    """A connection that breaks as told, then answers."""

    def __init__(self, *breaks: Exception) -> None:
        self.breaks = list(breaks)

    def invoke_endpoint(self, **_: object) -> dict:
        if self.breaks:
            raise self.breaks.pop(0)
        return {"Body": io.BytesIO(ANSWER)}


DIED = exceptions.ConnectionClosedError(endpoint_url="https://x")


@pytest.mark.parametrize(
    ("breaks", "status", "code"),
    [
        ([DIED], 200, None),
        ([DIED, DIED], 503, "unavailable"),
        ([exceptions.EndpointConnectionError(endpoint_url="https://x")], 503, "unavailable"),
        ([exceptions.ReadTimeoutError(endpoint_url="https://x")], 504, "timeout"),
        ([exceptions.ConnectTimeoutError(endpoint_url="https://x")], 504, "timeout"),
        ([exceptions.NoCredentialsError()], 500, "internal_error"),
    ],
)
def test_a_line_that_breaks(
    monkeypatch: pytest.MonkeyPatch, breaks: list[Exception], status: int, code: str | None
) -> None:
    line = Line(*breaks)
    monkeypatch.setenv("ENDPOINT_NAME", "shop-prod")
    monkeypatch.setattr(edge, "runtime", lambda: line)
    given = edge.handler(event(PNG, "image/png"), Context())
    assert given["statusCode"] == status
    assert not line.breaks, "a connection that died is tried once more, nothing else is"
    if code:
        error = json.loads(given["body"])["error"]
        assert error["code"] == code
        assert "https://x" not in error["message"]


def test_neither_log_nor_answer_holds_the_image(
    endpoint: Stubber, caplog: pytest.LogCaptureFixture
) -> None:
    image = b"\x89PNG the face of a customer"
    endpoint.add_client_error("invoke_endpoint", "InternalFailure", "broken")
    endpoint.add_client_error("invoke_endpoint", "ThrottlingException", "busy")
    text = ""
    with caplog.at_level(logging.DEBUG, logger="edge"):
        for made in (
            event(image, "image/png"),
            event(url_of(image), "text/plain"),
            event(url_of(image, "data:text/html;base64"), "text/plain"),
            event(f"{url_of(image)}%", "text/plain"),
            event(image, "video/mp4"),
        ):
            text += json.dumps(edge.handler(made, Context()))
    assert len(caplog.records) == 5
    for secret in ("customer", base64.b64encode(image).decode()[4:20]):
        assert secret not in text
        assert secret not in caplog.text


def test_one_client_a_container_with_bounds_within_the_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    edge.runtime.cache_clear()
    client = edge.runtime()
    assert edge.runtime() is client
    config = client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (edge.CONNECT_S, edge.READ_S)
    assert config.retries["total_max_attempts"] == 1
