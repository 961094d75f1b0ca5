"""InvokeEndpoint and data capture.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import json
import random
import uuid
from typing import Any

import httpx
from werkzeug import Request, Response

from tests.testbed import storage
from tests.testbed.fleets import Fleet, Variant
from tests.testbed.rollouts import Endpoint
from tests.testbed.state import ACCOUNT, ApiError, State, now

MAX_PAYLOAD = 25 * 1024**2
"""Bytes of a request to an instance
(https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html)."""

MAX_SERVERLESS_PAYLOAD = 4 * 1024**2
"""Bytes of a request to a serverless variant
(https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-invoke.html)."""

_CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_FORWARDED = ("Content-Type", "Accept", _CUSTOM, _INFERENCE_ID)
"""What of the request reaches the container. The query string does not."""


def invoke(state: State, name: str, request: Request) -> Response:
    """Answer one InvokeEndpoint."""
    with state.lock:
        endpoint: Endpoint | None = state.table("endpoint").get(name)
        fleet = endpoint.next_fleet() if endpoint is not None else None
        if endpoint is None or fleet is None or endpoint.status == "Deleting":
            raise ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
    target = request.headers.get("X-Amzn-SageMaker-Target-Variant")
    variant = fleet.pick(target)
    if variant is None:
        raise ApiError(
            "ValidationError",
            f"Variant {target} not found in endpoint {name} of account {ACCOUNT}.",
        )
    body = request.get_data(cache=False)
    if len(body) > (MAX_SERVERLESS_PAYLOAD if variant.serverless else MAX_PAYLOAD):
        return Response("", 413)
    headers = {name: value for name in _FORWARDED if (value := request.headers.get(name))}
    assert variant.client is not None
    try:
        answer = variant.client.post("/invocations", content=body, headers=headers)
    except httpx.HTTPError as error:
        variant.stream.line(f"invocation failed: {error!r}")
        return _model_error(state, name, variant, 0, "")
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        return _model_error(state, name, variant, answer.status_code, answer.text)
    _capture(fleet, name, variant, body, headers, answer)
    texts = {"x-Amzn-Invoked-Production-Variant": variant.name}
    if _CUSTOM in answer.headers:
        texts[_CUSTOM] = answer.headers[_CUSTOM]
    kind = answer.headers.get("content-type", "application/octet-stream")
    return Response(answer.content, 200, content_type=kind, headers=texts)


def _model_error(state: State, name: str, variant: Variant, status: int, text: str) -> Response:
    """HTTP 424, whatever the container said."""
    whose = "client" if httpx.codes.is_client_error(status) else "server"
    what = f'with message "{text}"' if text else "and could not load the entire response body"
    group = f"/aws/sagemaker/Endpoints/{name}"
    region = state.region
    body = {
        "Message": f"Received {whose} error ({status}) from primary {what}. See "
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logEventViewer:group={group} in account {ACCOUNT} for more information.",
        "OriginalStatusCode": status,
        "OriginalMessage": text,
        "LogStreamArn": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}",
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if whose == "client" else "SERVER_ERROR_FROM_MODEL",
    }
    return Response(
        json.dumps(body),
        424,
        content_type="application/json",
        headers={
            "x-amzn-ErrorType": "ModelError",
            "x-Amzn-Invoked-Production-Variant": variant.name,
        },
    )


def _capture(
    fleet: Fleet,
    endpoint: str,
    variant: Variant,
    body: bytes,
    headers: dict[str, str],
    answer: httpx.Response,
) -> None:
    """Write one line of JSON to the capture destination, if this request is sampled."""
    config = fleet.config.get("DataCaptureConfig") or {}
    if not config.get("EnableCapture", bool(config)):
        return
    if random.uniform(0, 100) >= config["InitialSamplingPercentage"]:
        return
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    listed = config.get("CaptureContentTypeHeader", {})
    captured: dict[str, Any] = {}
    if modes & {"Input", "InputAndOutput"}:
        sent = headers.get("Content-Type", "application/octet-stream")
        captured["endpointInput"] = _side(body, sent, "INPUT", listed)
    if modes & {"Output", "InputAndOutput"}:
        kind = answer.headers.get("content-type", "application/octet-stream")
        captured["endpointOutput"] = _side(answer.content, kind, "OUTPUT", listed)
    time = now()
    event: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if _INFERENCE_ID in headers:
        event["inferenceId"] = headers[_INFERENCE_ID]
    if _CUSTOM in headers:
        event["customAttributes"] = [headers[_CUSTOM]]
    event["inferenceTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    line = {"captureData": captured, "eventMetadata": event, "eventVersion": "0"}
    hour = time.strftime("%Y/%m/%d/%H")
    second = f"{time.strftime('%M-%S')}-{time.microsecond // 1000:03d}"
    destination = config["DestinationS3Uri"].rstrip("/")
    storage.put(
        f"{destination}/{endpoint}/{variant.name}/{hour}/{second}-{uuid.uuid4()}.jsonl",
        (json.dumps(line) + "\n").encode(),
    )


def _side(data: bytes, content_type: str, mode: str, listed: dict[str, Any]) -> dict[str, str]:
    """One side of a captured call; what is not listed as CSV or JSON is in base64."""
    media_type = content_type.partition(";")[0].strip()
    kind = {"observedContentType": content_type, "mode": mode}
    for encoding, key in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if media_type in listed.get(key, []):
            return {**kind, "data": data.decode(errors="replace"), "encoding": encoding}
    return {**kind, "data": base64.b64encode(data).decode(), "encoding": "BASE64"}
