"""ministack as a process of its own, with what the edge's tests need and it leaves out.

``running_ministack(folder)`` starts it, or a module that serves one with other additions. Added to what it does: routes with AWS_IAM verify the
caller's signature (Signature Version 4, recomputed); a request over the limits of API Gateway or
Lambda is refused; CORS, throttling and metric filters of CloudFormation are taken over.
"""

import hmac
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.patience import SOON_S, WAIT_S

REPOSITORY = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
KEY_ID = SECRET = "testing"
ENVIRON = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
"""Variables of its one caller."""

PAYLOAD_LIMIT = 10 * 1024**2
EVENT_LIMIT = 6 * 1024**2
_START_S = WAIT_S
_CLOCK_SKEW_S = 300


@contextmanager
def running_ministack(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    module: str = "tests.testbed.ministack",
) -> Iterator[str]:
    """Have one while the block lasts; its URL. What it says goes to ``folder/ministack.log``.

    Args:
        folder: its own; all its files lie there.
        environ: more variables for it and its Lambda functions.
        module: what serves it; is given the id of this process, with which it is to end.

    Raises:
        RuntimeError: it ended, or does not answer; the message has its last words.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    own = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LAMBDA_EXECUTOR": "local",
        "IOT_MTLS_ENABLED": "0",  # else it takes port 8883, which another one may have
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "TMPDIR": str(folder),
        **ENVIRON,
    }
    command = [sys.executable, "-m", module, str(os.getpid())]
    log_file = folder / "ministack.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **own, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, port, log_file)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(SOON_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log_file: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"ministack does not start:\n{log_file.read_text()[-2000:]}")
        time.sleep(0.1)


def is_signed(
    method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
) -> bool:
    """Whether a request carries the one known caller's valid signature for execute-api.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    found = re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/\d{{8}}/{REGION}/execute-api/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if not found or not {"host", "x-amz-date"} <= set(found[1].split(";")) & set(headers):
        return False
    signed_at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(time.time() - signed_at.timestamp()) > _CLOCK_SKEW_S:
        return False
    pairs = [(key, value) for key, values in query.items() for value in values]
    request = AWSRequest(
        method,
        f"http://{headers['host']}{path}" + (f"?{urlencode(pairs)}" if pairs else ""),
        {name: headers.get(name, "") for name in found[1].split(";")},
        body,
    )
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY_ID, SECRET), "execute-api", REGION)
    signed = signer.string_to_sign(request, signer.canonical_request(request))
    return hmac.compare_digest(signer.signature(signed, request), found[2])


def _guard_http_apis() -> None:
    """Check signatures and sizes before ministack carries out a request to an HTTP API."""
    from ministack.services import apigateway

    carry_out = apigateway._handle_execute_in_scope

    async def guarded(
        api_id: str,
        stage: str,
        path: str,
        method: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, list[str]],
        *owner: str,
    ) -> tuple[int, dict[str, str], bytes]:
        named = {name.lower(): value for name, value in headers.items()}
        route = apigateway._match_route(api_id, method, path) or {}
        if len(body) > PAYLOAD_LIMIT or len(body) * 4 / 3 > EVENT_LIMIT:
            return _message(413, "Request Entity Too Large")
        if route.get("authorizationType") == "AWS_IAM" and not is_signed(
            method, path, query, named, body
        ):
            return _message(403, "Forbidden")
        answer: tuple[int, dict[str, str], bytes] = await carry_out(
            api_id, stage, path, method, headers, body, query, *owner
        )
        return answer

    apigateway._handle_execute_in_scope = guarded


def _message(status: int, text: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps({"message": text}).encode()


def _complete_cloudformation() -> None:
    """Metric filters, which it does not know, and settings whose spelling it takes over."""
    from ministack.services import cloudwatch_logs
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    def create_filter(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict]:
        name = props.get("FilterName") or f"{stack}-{logical_id}"
        status, _, body = cloudwatch_logs._put_metric_filter({**_camel(props), "filterName": name})
        if status >= 400:
            raise ValueError(body.decode())
        return name, {}

    def delete_filter(name: str, props: dict[str, Any]) -> None:
        cloudwatch_logs._delete_metric_filter({**_camel(props), "filterName": name})

    for kind, setting in (("Api", "CorsConfiguration"), ("Stage", "DefaultRouteSettings")):
        handlers = _RESOURCE_HANDLERS[f"AWS::ApiGatewayV2::{kind}"]
        handlers["create"] = _with_camel(handlers["create"], setting)
    _RESOURCE_HANDLERS["AWS::Logs::MetricFilter"] = {
        "create": create_filter,
        "delete": delete_filter,
    }


def _camel(value: Any) -> Any:
    """CloudFormation's spelling of a setting, as the API spells it."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key[0].lower() + key[1:]: _camel(item) for key, item in value.items()}


def _with_camel(create: Callable[..., Any], setting: str) -> Callable[..., Any]:
    def created(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        spelled = {key: _camel(v) if key == setting else v for key, v in props.items()}
        return create(logical_id, spelled, stack)

    return created


def main(parent: int) -> None:
    """Serve until told to end, or until the process ``parent`` is gone."""
    _guard_http_apis()
    _complete_cloudformation()
    serve(parent)


def serve(parent: int) -> None:
    """Have this process be ministack while the process ``parent`` is there."""
    from ministack import app

    from tests.testbed.watch import end_with

    end_with(parent)
    sys.argv = sys.argv[:1]  # ministack reads it
    app.main()


if __name__ == "__main__":
    main(int(sys.argv[1]))
