"""The inference contract over HTTP, shared by the endpoint host and the SageMaker container."""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.endpoint.inference import MAX_BODY_BYTES, Pictures, predict, read_images, weigh
from serving.errors import RequestRefused
from serving.limits.bodies import BodyBuffer
from serving.limits.limits import ServingLimits
from serving.limits.work import Lanes, Ticket, in_lane, while_waited_for
from training.artefact.predictor import OnnxPredictor

MAX_PENDING = 64
"""Requests of one model that may be running or waiting; more get status 429."""

_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_MAX_LENGTHS = {_CUSTOM_ATTRIBUTES: 1024, _INFERENCE_ID: 64}
"""Most characters, as in SageMaker
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html).
"""

_AWS_ERROR_TYPES = {404: "ValidationError", 503: "ServiceUnavailable", 500: "InternalFailure"}

MAX_TOP_K = 1_000_000

TopK = Annotated[
    int | None,
    Query(ge=1, le=MAX_TOP_K, description="How many labels to name; all if absent."),
]

ModelSource = Callable[[], OnnxPredictor]
"""Returns the model to use, or raises RequestRefused (503) if there is none."""

log = logging.getLogger("serving")


class Gate:
    """Limits the number of concurrent requests. Used from the event loop only, so it needs no lock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold one place while the block lasts.

        Raises:
            RequestRefused: 429, all places are taken.
        """
        if self._inside >= self._limit:
            raise RequestRefused(
                429, "too_many_requests", f"{self._limit} requests are waiting; try again shortly"
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


class Invoker:
    """Answers invocations of models by name; predictions run in threads.

    A body is read before its request takes a place, so that slow clients hold none.

    Args:
        sources: name to the source of its model.
        workers: predictions at a time.
        max_pending: requests of one name that may be running or waiting.
        limits: limits of one request.
    """

    def __init__(
        self,
        sources: Mapping[str, ModelSource],
        *,
        workers: int,
        max_pending: int = MAX_PENDING,
        limits: ServingLimits | None = None,
    ) -> None:
        self._sources = sources
        self._limits = limits or ServingLimits()
        self._lanes = Lanes(workers)
        self._bodies = BodyBuffer(body_s=self._limits.body_s)
        self._gates = {name: Gate(max_pending) for name in sources}

    async def invoke(self, name: str, request: Request, top_k: int | None) -> JSONResponse:
        """Answer one invocation.

        Args:
            name: of the model, a key of ``sources``.
            request: the HTTP request; its body is not read yet.
            top_k: number of labels to return; ``None``: as the custom attributes say, else all.

        Raises:
            RequestRefused: the request cannot be answered; it has the HTTP status.
            ClientDisconnect: the client closed the connection.
        """
        source = self._sources[name]
        echoed = _bounded_header(request, _CUSTOM_ATTRIBUTES)
        asked = _Asked(
            request.headers.get("content-type", ""),
            top_k or _top_k_of(echoed),
            _bounded_header(request, _INFERENCE_ID),
        )
        async with self._bodies.body(request, MAX_BODY_BYTES) as body:
            with self._gates[name].enter():
                ticket = Ticket(self._limits.answer_s)
                answer = await while_waited_for(
                    request, ticket, self._answer(source, ticket, body, asked)
                )
        return JSONResponse(answer, headers={_CUSTOM_ATTRIBUTES: echoed} if echoed else None)

    def close(self) -> None:
        """Wait for running predictions, and cancel the queued ones."""
        self._lanes.close()

    async def _answer(
        self, source: ModelSource, ticket: Ticket, body: bytes, asked: "_Asked"
    ) -> dict[str, object]:
        answer = await in_lane(self._lanes.small, ticket, self._opened, source, ticket, body, asked)
        if isinstance(answer, _Opened):
            answer = await in_lane(self._lanes.big, ticket, _predicted, answer, ticket, asked)
        return answer

    def _opened(
        self, source: ModelSource, ticket: Ticket, body: bytes, asked: "_Asked"
    ) -> "_Opened | dict[str, object]":
        """Return the response of a small request; a big one as it is to be predicted in its own lane."""
        model = source()  # read once: one model for the whole request
        images = read_images(body, asked.content_type)
        opened = _Opened(model, weigh(images, model.manifest.input_size, self._limits))
        return _predicted(opened, ticket, asked) if opened.pictures.small else opened


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parameters of a request besides its body."""

    content_type: str
    top_k: int | None
    inference_id: str | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A request with its parsed images and its model."""

    model: OnnxPredictor
    pictures: Pictures


def _predicted(opened: _Opened, ticket: Ticket, asked: _Asked) -> dict[str, object]:
    model = opened.model
    return {
        "model_version": model.manifest.model_version,
        "digest": model.digest,
        "predictions": predict(
            model,
            opened.pictures,
            top_k=asked.top_k,
            inference_id=asked.inference_id,
            ticket=ticket,
        ),
    }


def _bounded_header(request: Request, name: str) -> str | None:
    """Return the value of a header.

    Raises:
        RequestRefused: 400, it is longer than SageMaker allows.
    """
    value = request.headers.get(name)
    if value is not None and len(value) > _MAX_LENGTHS[name]:
        raise RequestRefused(
            400,
            "bad_request",
            f"{name} has {len(value)} characters; SageMaker takes {_MAX_LENGTHS[name]}",
        )
    return value


def _top_k_of(attributes: str | None) -> int | None:
    """Return ``top_k`` from ``key=value`` pairs separated by commas or semicolons.

    InvokeEndpoint has no query string, only this header; other pairs are the client's own.

    Raises:
        RequestRefused: 400, it is no whole number from 1.
    """
    pairs = (part.partition("=") for part in re.split("[,;]", attributes or ""))
    for value in [value.strip() for key, _, value in pairs if key.strip() == "top_k"]:
        number = bounded_int(value, 1, MAX_TOP_K)
        if number is None:
            raise RequestRefused(
                400,
                "bad_request",
                f"top_k: {_CUSTOM_ATTRIBUTES} says {value[:40]!r}; give a whole number from 1 "
                f"to {MAX_TOP_K}",
            )
        return number
    return None


def bounded_int(text: str, least: int, most: int) -> int | None:
    """Parse a whole number in decimal digits.

    Args:
        text: ASCII digits only, at most 20.
        least: smallest valid number.
        most: largest valid number.

    Returns:
        The number, or ``None`` if it is none or out of bounds.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > 20:  # int() refuses 4,301 digits
        return None
    number = int(text)
    return number if least <= number <= most else None


def add_error_handlers(app: FastAPI) -> None:
    """Make ``app`` answer every error in the format of the inference contract."""

    @app.exception_handler(RequestRefused)
    async def refused(request: Request, error: RequestRefused) -> JSONResponse:
        return _error_response(request, error.status, error.code, error.message)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _error_response(request, 400, "bad_request", f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        return _error_response(request, error.status_code, detail.lower().replace(" ", "_"), detail)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: ClientDisconnect) -> JSONResponse:
        return _error_response(request, 400, "client_gone", "the client went away")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("%s failed", request.url.path, exc_info=error)
        message = f"{type(error).__name__}: {error}"
        return _error_response(request, 500, "internal_error", message)


def _error_response(request: Request, status: int, code: str, message: str) -> JSONResponse:
    """Return the error in the contract's format; on SageMaker Runtime's path also as boto3 reads it.

    There, SageMaker wraps a container's error into a ModelError
    (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html),
    so a client that reads OriginalStatusCode and OriginalMessage works with both.
    """
    error = {"error": {"code": code, "message": message}}
    headers = {"Retry-After": "1"} if status == 429 else {}
    if status == 408:  # the start of the connection's next request is unknown
        headers["Connection"] = "close"
    if not request.url.path.startswith("/endpoints/"):
        return JSONResponse(error, status, headers)
    wrapped = {
        "Message": message,
        "OriginalStatusCode": status,
        "OriginalMessage": json.dumps(error),
    }
    headers["x-amzn-errortype"] = _AWS_ERROR_TYPES.get(status, "ModelError")
    return JSONResponse({**error, **wrapped}, status, headers)
