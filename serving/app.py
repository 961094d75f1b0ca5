"""The HTTP side of the endpoint host: SageMaker Runtime's path, and its container's.

``POST /endpoints/{name}/invocations`` is what ``boto3.client("sagemaker-runtime")`` calls;
``POST /invocations`` and ``GET /ping`` are what SageMaker asks of a container, and answer for
production.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.deployments import EndpointStatus, endpoint_name
from serving.errors import RequestRefused
from serving.host import EndpointHost, Slot
from serving.inference import MAX_BODY_BYTES, predict, read_images

MAX_PENDING = 64
"""Requests of one stage that may be under way or waiting; more are told to come back."""

_DRAIN_BYTES = 8 * MAX_BODY_BYTES
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_AWS_ERROR_TYPES = {404: "ValidationError", 503: "ServiceUnavailable", 500: "InternalFailure"}

TopK = Annotated[int | None, Query(ge=1, description="How many labels to name; all if absent.")]

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
    """Answers invocations of one host, decoding and predicting in a thread per processor."""

    def __init__(self, host: EndpointHost, *, workers: int, max_pending: int) -> None:
        self._host = host
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self._gates = {name: Gate(max_pending) for name in host.slots}

    async def invoke(self, name: str, request: Request, top_k: int | None) -> JSONResponse:
        """Answer one invocation of the endpoint ``name``. Raises RequestRefused."""
        slot = find_slot(self._host, name)
        with self._gates[name].enter():
            body = await _read_body(request)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(
                self._pool,
                _answer,
                slot,
                body,
                request.headers.get("content-type", ""),
                top_k,
                request.headers.get(_INFERENCE_ID),
            )
        echoed = request.headers.get(_CUSTOM_ATTRIBUTES)
        return JSONResponse(answer, headers={_CUSTOM_ATTRIBUTES: echoed} if echoed else None)

    def close(self) -> None:
        """Finish what is under way."""
        self._pool.shutdown()


def find_slot(host: EndpointHost, name: str) -> Slot:
    """The stage behind an endpoint's name. Raises RequestRefused (404)."""
    slot = host.slots.get(name)
    if slot is None:
        raise RequestRefused(
            404,
            "endpoint_not_found",
            f"endpoint {name!r} not found; there are {', '.join(host.slots)}",
        )
    return slot


def create_app(
    host: EndpointHost, *, workers: int | None = None, max_pending: int = MAX_PENDING
) -> FastAPI:
    """The application around ``host``, which starts and stops with it.

    Args:
        host: what serves.
        workers: predictions at a time; one a processor if ``None``.
        max_pending: requests of one stage that may be under way or waiting.
    """
    invoker = Invoker(
        host, workers=workers or len(os.sched_getaffinity(0)), max_pending=max_pending
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        host.start()
        yield
        await asyncio.to_thread(host.stop)
        invoker.close()

    # The interactive pages would load their scripts from the internet.
    app = FastAPI(title="imgclf endpoint", lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_error_handlers(app)

    @app.get("/ping")
    async def ping() -> JSONResponse:
        return JSONResponse(
            {
                "status": "ok",
                "project": host.project,
                "store": host.store.url,
                "store_problem": host.store_problem,
            }
        )

    @app.get("/endpoints/{name}")
    async def describe(name: str) -> EndpointStatus:
        return find_slot(host, name).status

    @app.post("/endpoints/{name}/invocations")
    async def invoke_endpoint(name: str, request: Request, top_k: TopK = None) -> JSONResponse:
        return await invoker.invoke(name, request, top_k)

    @app.post("/invocations")
    async def invoke_container(request: Request, top_k: TopK = None) -> JSONResponse:
        return await invoker.invoke(endpoint_name(host.project, "prod"), request, top_k)

    return app


def _answer(
    slot: Slot, body: bytes, content_type: str, top_k: int | None, inference_id: str | None
) -> dict[str, object]:
    serving = slot.serving  # read once: the whole request is answered by this model
    if serving is None:
        loading = "it is being loaded" if slot.status.changing else "nothing is deployed there yet"
        why = slot.status.failure_reason or loading
        raise RequestRefused(503, "no_model", f"{slot.name} serves no model: {why}")
    images = read_images(body, content_type)
    return {
        "model_version": serving.record.model_version,
        "digest": serving.model.digest,
        "predictions": predict(serving.model, images, top_k=top_k, inference_id=inference_id),
    }


async def _read_body(request: Request) -> bytes:
    """The body, if it is not too big.

    One that is too big is read on and thrown away (up to a bound), because many clients only
    look at the answer when they have sent everything.
    """
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        elif size > _DRAIN_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise RequestRefused(
            413, "too_large", f"the request has more than {MAX_BODY_BYTES / 1024**2:.0f} MB"
        )
    if not body:
        raise RequestRefused(400, "empty_body", "the request has no body")
    return bytes(body)


def _add_error_handlers(app: FastAPI) -> None:
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
