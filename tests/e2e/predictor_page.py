"""What tests of the predictor's page share: our programs, a fake runtime, pictures."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from PIL import Image

from tests.patience import WAIT_S, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def running(*arguments: str, url: str, **variables: str) -> Iterator[None]:
    """A program of ours, from when ``url`` answers until the block ends."""
    environment = {**os.environ, **variables}
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:

        def answers() -> bool:
            try:
                return httpx.get(url, timeout=WAIT_S, trust_env=False).status_code == 200
            except httpx.TransportError:
                assert process.poll() is None, f"{arguments[0]} ended by itself"
                return False

        wait_for(answers, f"{arguments[0]} does not answer")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)


class FakeRuntime(ThreadingHTTPServer):
    """SageMaker Runtime's invocation path; ``answers`` maps an endpoint to what it does."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Invocations)
        self.answers: dict[str, Callable[[bytes], tuple[int, str, dict[str, Any]]]] = {}


class _Invocations(BaseHTTPRequestHandler):
    server: FakeRuntime

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, _, name, what = self.path.split("/")
        assert what == "invocations"
        status, error_type, answer = self.server.answers[name](body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        if error_type:
            self.send_header("x-amzn-errortype", error_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def says(version: str, **scores: float) -> Callable[[bytes], tuple[int, str, dict[str, Any]]]:
    """A model that is of one opinion on every image, and cannot read what is none."""

    def answer(body: bytes) -> tuple[int, str, dict[str, Any]]:
        try:
            Image.open(io.BytesIO(body)).load()
        except OSError:
            error = {"error": {"code": "unreadable_image", "message": "the image cannot be read"}}
            wrapped = {"OriginalStatusCode": 400, "OriginalMessage": json.dumps(error)}
            return 400, "ModelError", {"Message": "…", **wrapped}
        labels = [{"label": label, "score": score} for label, score in scores.items()]
        predicted = {"prediction_id": "1", "labels": labels, "predicted": [labels[0]["label"]]}
        return 200, "", {"model_version": version, "digest": "d" * 64, "predictions": [predicted]}

    return answer


def nothing_deployed(body: bytes) -> tuple[int, str, dict[str, Any]]:
    return 503, "ServiceUnavailable", {"Message": "imgclf-staging serves no model: none yet"}


def picture(name: str = "photo.png", colour: str = "red") -> dict[str, Any]:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(out, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": out.getvalue()}


def drop(page: "Page", *files: dict[str, Any]) -> None:
    """Give the page files and wait until it has said something of each."""
    page.set_input_files("#files input[type=file]", list(files))
    wait_for_cards(page, len(files))


def wait_for_cards(page: "Page", count: int) -> None:
    page.wait_for_function(
        "count => document.querySelectorAll('.card').length === count"
        " && !document.querySelector('.waiting')",
        arg=count,
    )
