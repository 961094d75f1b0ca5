"""Process B: ministack with SageMaker's resource types and CloudFormation's own way with stacks.

``python -m tests.testbed.ministack_sagemaker --port 0 --folder DIR --address-file F --parent PID
--sagemaker URL_OF_A``. What is patched, and why, is listed in the README.
"""

import argparse
import asyncio
import json
import os
import socket
import urllib.request
from pathlib import Path
from typing import Any

from tests.patience import WAIT_S

ACCOUNT, REGION = "123456789012", "us-east-1"


def main() -> None:
    """Serve until told to end, or until the parent is gone."""
    parser = argparse.ArgumentParser("python -m tests.testbed.ministack_sagemaker")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--address-file", type=Path)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--sagemaker", required=True, help="URL of process A")
    arguments = parser.parse_args()

    from tests.testbed.watch import end_with

    if arguments.parent:
        end_with(arguments.parent)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    listener = socket.create_server(("127.0.0.1", arguments.port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    _configure(arguments.folder, url, arguments.sagemaker)
    _patch(arguments.sagemaker)
    _tell_standin(arguments.sagemaker, url)
    asyncio.run(_serve(listener, url, arguments.address_file))


def _configure(folder: Path, url: str, sagemaker: str) -> None:
    """Before ministack is imported: it reads most of this at its import."""
    os.environ.update(
        {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": url.rpartition(":")[2],
            "LAMBDA_EXECUTOR": "local",
            "IOT_MTLS_ENABLED": "0",  # else it listens on 8883
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "TMPDIR": str(folder),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # For Lambda functions: SageMaker is process A.
            "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": sagemaker,
            "STANDIN_SAGEMAKER": sagemaker,
        }
    )


def _patch(sagemaker: str) -> None:
    from tests.testbed.ministack import _complete_cloudformation, _guard_http_apis
    from tests.testbed.stack_patches import patch_cloudformation

    _guard_http_apis()
    _complete_cloudformation()
    patch_cloudformation(sagemaker)


def _tell_standin(sagemaker: str, url: str) -> None:
    """Alarms are here: process A asks for them during its deployments."""
    request = urllib.request.Request(
        f"{sagemaker}/_standin/settings",
        json.dumps({"cloudwatch_url": url}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=WAIT_S).close()


async def _serve(listener: socket.socket, url: str, address_file: Path | None) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    serving = asyncio.create_task(serve(_with_scaling(), config))
    while not await asyncio.to_thread(_healthy, url):
        await asyncio.sleep(0.02)
    if address_file:
        partial = address_file.with_suffix(".part")
        partial.write_text(url, encoding="utf-8")
        partial.replace(address_file)
    await serving


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=WAIT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _with_scaling() -> Any:
    """ministack's app, and Application Auto Scaling, which it has not."""
    from ministack.app import app

    from tests.testbed import scaling

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        target = headers.get(b"x-amz-target", b"").decode()
        if not target.startswith(scaling.TARGET_PREFIX):
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        operation = target.removeprefix(scaling.TARGET_PREFIX)
        status, answer = scaling.answer(operation, json.loads(body or b"{}"))
        kind = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": answer})

    return serve


if __name__ == "__main__":
    main()
