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
"""Requests of one model that may be under way or waiting; more are told to come back."""

_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_MAX_LENGTHS = {_CUSTOM_ATTRIBUTES: 1024, _INFERENCE_ID: 64}
"""Characters, as SageMaker has it
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html)."""

_AWS_ERROR_TYPES = {404: "ValidationError", 503: "ServiceUnavailable", 500: "InternalFailure"}

MAX_TOP_K = 1_000_000

TopK = Annotated[
    int | None,
    Query(ge=1, le=MAX_TOP_K, description="How many labels to name; all if absent."),
]

ModelSource = Callable[[], OnnxPredictor]
"""Gives the model that answers now, or raises RequestRefused (503) when there is none."""

log = logging.getLogger("serving")


class Gate:
    """Lets a bounded number of requests in. Used from the event loop only, so it needs no lock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold one place. Raises RequestRefused (429) when all are taken."""
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
    """Answers invocations of models known by name, each prediction in a thread of its own.

    A body is read before its request takes a place, so that nobody holds one by sending slowly.

    Args:
        sources: where the model of each name comes from.
        workers: predictions at a time.
        max_pending: requests of one name that may be under way or waiting.
        limits: what one request may cost.
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
        """Answer one invocation of the model ``name``. Raises RequestRefused."""
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
        """Finish what is under way."""
        self._lanes.close()

    async def _answer(
        self, source: ModelSource, ticket: Ticket, body: bytes, asked: "_Asked"
    ) -> dict[str, object]:
        said = await in_lane(self._lanes.small, ticket, self._opened, source, ticket, body, asked)
        if isinstance(said, _Opened):
            said = await in_lane(self._lanes.big, ticket, _predicted, said, ticket, asked)
        return said

    def _opened(
        self, source: ModelSource, ticket: Ticket, body: bytes, asked: "_Asked"
    ) -> "_Opened | dict[str, object]":
        """The answer, or what is to be answered in the lane of big requests."""
        model = source()  # asked once: the whole request is answered by this model
        images = read_images(body, asked.content_type)
        opened = _Opened(model, weigh(images, model.manifest.input_size, self._limits))
        return _predicted(opened, ticket, asked) if opened.pictures.small else opened


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for beside its body."""

    content_type: str
    top_k: int | None
    inference_id: str | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A request whose images are known, and the model that answers it."""

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
    """A header's value. Raises RequestRefused (400) if it is longer than SageMaker lets it be."""
    value = request.headers.get(name)
    if value is not None and len(value) > _MAX_LENGTHS[name]:
        raise RequestRefused(
            400,
            "bad_request",
            f"{name} has {len(value)} characters; SageMaker takes {_MAX_LENGTHS[name]}",
        )
    return value


def _top_k_of(attributes: str | None) -> int | None:
    """``top_k`` among ``key=value`` pairs parted by commas or semicolons.

    InvokeEndpoint has no query string, only this header; what else it says is the client's own.

    Raises:
        RequestRefused: 400, it is no number from 1.
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
    """The whole number that ``text`` is in decimal digits; None if it is none, or out of bounds."""
    if not text.isascii() or not text.isdecimal() or len(text) > 20:  # int() refuses 4,301 digits
        return None
    number = int(text)
    return number if least <= number <= most else None


def add_error_handlers(app: FastAPI) -> None:
    """Have ``app`` tell every error in the words of the inference contract."""

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
    """The error as the inference contract has it, and on SageMaker Runtime's path as boto3 reads it.

    There, SageMaker wraps what a container answers into a ModelError
    (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html),
    so a client that reads OriginalStatusCode and OriginalMessage works on both.
    """
    error = {"error": {"code": code, "message": message}}
    headers = {"Retry-After": "1"} if status == 429 else {}
    if status == 408:  # where the next request of this connection would begin is unknown
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
