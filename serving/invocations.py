"""The inference contract over HTTP, shared by the endpoint host and the SageMaker container."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.errors import RequestRefused
from serving.inference import MAX_BODY_BYTES, predict, read_images
from training.predictor import OnnxPredictor

MAX_PENDING = 64
"""Requests of one model that may be under way or waiting; more are told to come back."""

_DRAIN_BYTES = 8 * MAX_BODY_BYTES
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_AWS_ERROR_TYPES = {404: "ValidationError", 503: "ServiceUnavailable", 500: "InternalFailure"}

TopK = Annotated[int | None, Query(ge=1, description="How many labels to name; all if absent.")]

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

    Args:
        sources: where the model of each name comes from.
        workers: predictions at a time.
        max_pending: requests of one name that may be under way or waiting.
    """

    def __init__(
        self, sources: Mapping[str, ModelSource], *, workers: int, max_pending: int = MAX_PENDING
    ) -> None:
        self._sources = sources
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self._gates = {name: Gate(max_pending) for name in sources}

    async def invoke(self, name: str, request: Request, top_k: int | None) -> JSONResponse:
        """Answer one invocation of the model ``name``. Raises RequestRefused."""
        source = self._sources[name]
        echoed = request.headers.get(_CUSTOM_ATTRIBUTES)
        with self._gates[name].enter():
            body = await read_body(request)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(
                self._pool,
                _answer,
                source,
                body,
                request.headers.get("content-type", ""),
                top_k or _top_k_of(echoed),
                request.headers.get(_INFERENCE_ID),
            )
        return JSONResponse(answer, headers={_CUSTOM_ATTRIBUTES: echoed} if echoed else None)

    def close(self) -> None:
        """Finish what is under way."""
        self._pool.shutdown()


def _top_k_of(attributes: str | None) -> int | None:
    """``top_k`` among ``key=value`` pairs parted by commas or semicolons.

    InvokeEndpoint has no query string, only this header; what else it says is the client's own.

    Raises:
        RequestRefused: 400, it is no number from 1.
    """
    pairs = (part.partition("=") for part in re.split("[,;]", attributes or ""))
    for value in [value.strip() for key, _, value in pairs if key.strip() == "top_k"]:
        if not value.isascii() or not value.isdecimal() or int(value) < 1:
            raise RequestRefused(
                400,
                "bad_request",
                f"top_k: {_CUSTOM_ATTRIBUTES} says {value!r}; give a whole number from 1",
            )
        return int(value)
    return None


def _answer(
    source: ModelSource,
    body: bytes,
    content_type: str,
    top_k: int | None,
    inference_id: str | None,
) -> dict[str, object]:
    model = source()  # asked once: the whole request is answered by this model
    images = read_images(body, content_type)
    return {
        "model_version": model.manifest.model_version,
        "digest": model.digest,
        "predictions": predict(model, images, top_k=top_k, inference_id=inference_id),
    }


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body, if it is not too big.

    One that is too big is read on and thrown away (up to a bound), because many clients only
    look at the answer when they have sent everything.

    Raises:
        RequestRefused: 413, it has more than ``max_bytes``; 400, there is none.
    """
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= max_bytes:
            body += chunk
        elif size > _DRAIN_BYTES:
            break
    if size > max_bytes:
        raise RequestRefused(
            413, "too_large", f"the request has more than {max_bytes / 1024**2:.0f} MB"
        )
    if not body:
        raise RequestRefused(400, "empty_body", "the request has no body")
    return bytes(body)


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
    if not request.url.path.startswith("/endpoints/"):
        return JSONResponse(error, status, headers)
    wrapped = {
        "Message": message,
        "OriginalStatusCode": status,
        "OriginalMessage": json.dumps(error),
    }
    headers["x-amzn-errortype"] = _AWS_ERROR_TYPES.get(status, "ModelError")
    return JSONResponse({**error, **wrapped}, status, headers)
