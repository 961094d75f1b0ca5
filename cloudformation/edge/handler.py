"""The edge: a Lambda function that passes the requests of an HTTP API on to the endpoint.

``python -m cloudformation.packaging`` copies it into ``edge.yaml``. It imports only what Lambda's
runtime has, logs no image, and shows a client no internal details.
"""

import base64
import json
import logging
import os
import re
from contextlib import suppress
from functools import cache
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config

MAX_BYTES = 4 * 1024**2
"""Limit of a request and of an answer. Lambda's events and answers have at most 6 MB, in which
bytes are base64, a third longer; and a serverless endpoint takes no more than 4 MB."""
CONNECT_S, READ_S = 2, 25
"""Together less than the function's own timeout, so that the client gets an answer."""
ONCE: Any = {"total_max_attempts": 1}

IMAGE = r"image/[a-z0-9.+-]+"
FORMS = (
    "send one image as image/jpeg, image/png, ...; a data URL (data:image/png;base64,...) as "
    'text/plain or {"image": "data:..."}; or many as {"instances":[{"b64": "..."}]}'
)
CONTRACT = (400, 413, 415, 429, 503, 504)  # a model's refusals that a client may read
AWAY = (503, "unavailable", "the endpoint does not answer; try again later")
LATE = (504, "timeout", f"the endpoint gave no answer within {READ_S} s")
BY_CODE = {
    "ThrottlingException": (429, "too_many_requests", "the endpoint is busy; try again shortly"),
    "ModelNotReadyException": (503, "model_not_ready", "the endpoint starts; try again shortly"),
    "ServiceUnavailable": AWAY,
    "InternalDependencyException": AWAY,
    "ValidationError": (503, "no_endpoint", "there is no endpoint that can take this request"),
}
log = logging.getLogger("edge")


class Refused(Exception):
    """The request gets no prediction. Arguments: HTTP status, error code, message."""


@cache
def runtime() -> Any:
    """Return the client, created once for each container."""
    bounds = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries=ONCE)
    return boto3.client("sagemaker-runtime", config=bounds)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request in API Gateway's payload format 2.0."""
    headers = {"content-type": "application/json", "x-request-id": context.aws_request_id}
    try:
        answer, headers["content-type"] = ask(request_of(event), context.aws_request_id)
        body = base64.b64encode(answer).decode()
        return {"statusCode": 200, "headers": headers, "isBase64Encoded": True, "body": body}
    except Refused as refused:
        status, code, message = refused.args
        log.warning("%s %s: %s (%s)", status, code, message, refused.__cause__)
    except Exception:  # the client gets the request's id, the log has the traceback
        log.exception("unexpected")
        status, code = 500, "internal_error"
        message = f"the request failed; its id is {context.aws_request_id}"
    if status in (429, 503):
        headers["retry-after"] = "1"
    error = {"error": {"code": code, "message": message}}
    return {"statusCode": status, "headers": headers, "body": json.dumps(error)}


def request_of(event: dict[str, Any]) -> dict[str, Any]:
    """Convert the event to arguments of InvokeEndpoint. Raises Refused."""
    body = (event.get("body") or "").encode(errors="replace")
    body = base64.b64decode(body) if event.get("isBase64Encoded") else body
    media_type = event["headers"].get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "text/plain":
        body, media_type = decoded(body.decode(errors="replace").strip())
    elif media_type == "application/json":
        with suppress(ValueError, KeyError, TypeError, RecursionError):  # the model judges it
            body, media_type = decoded(str(json.loads(body)["image"]))
    if not body:
        raise Refused(400, "empty_body", f"the request has no image; {FORMS}")
    if not re.fullmatch(f"{IMAGE}|application/(json|x-image)", media_type):
        shown = media_type[:80] or "a request without a content type"
        raise Refused(415, "unsupported_media_type", f"{shown} is not understood; {FORMS}")
    _check_size(body, "the request", "scale the image down, or send fewer at a time")
    top_k = (event.get("queryStringParameters") or {}).get("top_k")
    if top_k is not None and not re.fullmatch("[1-9][0-9]{0,5}", top_k):
        raise Refused(400, "bad_request", "top_k: give a whole number from 1 to 999999")
    attributes = {"CustomAttributes": f"top_k={top_k}"} if top_k else {}
    return {"Body": body, "ContentType": media_type, **attributes}


def decoded(url: str) -> tuple[bytes, str]:
    """Decode a data URL (RFC 2397) to bytes and media type. Raises Refused."""
    head, _, data = url.partition(",")
    found = re.fullmatch(f"data:({IMAGE})(;.*)?;base64", head.lower())
    if not found:
        raise Refused(400, "bad_data_url", f"that is no data URL of an image in base64; {FORMS}")
    try:
        return base64.b64decode(data, validate=True), found[1]
    except ValueError:
        raise Refused(400, "bad_data_url", "the data URL is not base64 after its comma") from None


def _check_size(data: bytes, what: str, remedy: str) -> None:
    """Raise Refused (413) if there are more than MAX_BYTES."""
    if len(data) > MAX_BYTES:
        message = f"{what} has {len(data):,} bytes, more than {MAX_BYTES:,} (4 MB); {remedy}"
        raise Refused(413, "too_large", message)


def ask(request: dict[str, Any], request_id: str) -> tuple[bytes, str]:
    """Invoke the endpoint; return its answer and media type. Raises Refused."""
    request |= {"EndpointName": os.environ["ENDPOINT_NAME"], "InferenceId": request_id}
    try:
        try:
            answer = runtime().invoke_endpoint(**request)
        except exceptions.ConnectionClosedError:  # it died while Lambda kept this container frozen
            answer = runtime().invoke_endpoint(**request)
        body = answer["Body"].read()
    except exceptions.ClientError as error:
        raise refusal(error) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        late = isinstance(error, exceptions.ReadTimeoutError | exceptions.ConnectTimeoutError)
        raise Refused(*(LATE if late else AWAY)) from error
    _check_size(body, "the answer", "send fewer images, or ask with top_k")
    return body, answer.get("ContentType", "application/json")


def refusal(error: exceptions.ClientError) -> Exception:
    """Convert an error of SageMaker or of the model for the client; others are returned as is."""
    response: Any = error.response
    code, status = response["Error"]["Code"], int(response.get("OriginalStatusCode") or 0)
    if code != "ModelError":
        return Refused(*BY_CODE[code]) if code in BY_CODE else error
    if status not in CONTRACT:
        return Refused(*LATE) if "timed out" in str(error) else error
    try:
        message = json.loads(response["OriginalMessage"])["error"]
        return Refused(status, str(message["code"]), str(message["message"]))
    except (ValueError, KeyError, TypeError):  # SageMaker cuts long messages
        return Refused(status, "refused", "the model refused the request")
