"""The labelling backend over HTTP: Label Studio's ML backend, corrections, and the report.

The contract is that of Label Studio 1.23 (https://labelstud.io/guide/ml_create): ``/health`` within
1 s, ``/setup`` within 3 s before every ``/predict``, one result for each task. ``/setup`` brings
the token of the project's owner; its body is never read or logged.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from labelling.label_studio.config import LabelConfigError, parse_label_config
from object_store.errors import StoreError
from object_store.store import ObjectStore
from serving.endpoint.invocations import Gate, add_error_handlers
from serving.errors import RequestRefused
from serving.labelling.access import Access
from serving.labelling.corrections import MAX_CORRECTION_BYTES, CorrectionDesk, LabelsOffered
from serving.labelling.model import ServedModel
from serving.labelling.predictions import LabelStudioTask, PredictRequest, Prelabeller
from serving.labelling.report import POLICY, ReportShelf, no_report, unreachable
from serving.limits.bodies import BodyBuffer
from serving.limits.limits import ServingLimits
from serving.limits.work import Ticket, while_waited_for

_MAX_PREDICT_BYTES = 64 * 1024**2
_PREDICT_S = 120.0
"""Seconds, more than Label Studio waits (100 s); the prelabeller has the actual limits."""

_MAX_CORRECTIONS = 16
"""Corrections that may be running or waiting."""
_PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = logging.getLogger("serving")


@dataclass(frozen=True)
class Backend:
    """The parts of the application.

    Attributes:
        store: has the images; gets the corrections.
        project: name of the project.
        model: the model that is served.
        access: authorizes requests.
        hint_file: touched when Label Studio reports a change, so that the sensor polls sooner.
        label_studio_url: link on the empty report page.
        limits: limits of one request.
    """

    store: ObjectStore
    project: str
    model: ServedModel
    access: Access
    hint_file: Path | None = None
    label_studio_url: str = ""
    limits: ServingLimits = field(default_factory=ServingLimits)


def create_backend_app(backend: Backend, prelabeller: Prelabeller | None = None) -> FastAPI:
    """Build the application for ``backend``, whose model follows the records while it runs."""
    prelabeller = prelabeller or Prelabeller(backend.store, limits=backend.limits)
    bodies = BodyBuffer(body_s=backend.limits.body_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        backend.model.start()
        yield
        await asyncio.to_thread(backend.model.stop)
        prelabeller.close()

    app = FastAPI(title="imgclf labelling", lifespan=lifespan, docs_url=None, redoc_url=None,
                  openapi_url=None)  # fmt: skip
    add_error_handlers(app)

    @app.get("/ping")
    async def ping() -> JSONResponse:
        """Answer that this process is alive; without other information, so without credentials."""
        return JSONResponse({"status": "ok"})

    app.include_router(_contract(backend, prelabeller, bodies))
    app.include_router(_corrections(backend, bodies))
    app.include_router(_report(backend))
    return app


def _contract(backend: Backend, prelabeller: Prelabeller, bodies: BodyBuffer) -> APIRouter:
    """Return the routes of Label Studio's ML backend contract."""
    router = APIRouter()
    model, access = backend.model, backend.access

    @router.get("/health")
    async def health(request: Request) -> JSONResponse:
        access.label_studio(request)
        return JSONResponse({"status": "UP", "model_class": "imgclf"})

    @router.post("/setup")
    async def setup(request: Request) -> JSONResponse:
        access.label_studio(request)
        return JSONResponse({"model_version": model.version})

    @router.get("/versions")
    async def versions(request: Request) -> JSONResponse:
        access.label_studio(request)
        return JSONResponse({"versions": [model.version] if model.version else []})

    @router.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        access.label_studio(request)
        async with bodies.body(request, _MAX_PREDICT_BYTES) as body:
            asked, context = _asked(body)
        answers = await while_waited_for(
            request, Ticket(_PREDICT_S), _answers(backend, prelabeller, asked)
        )
        if context:  # interactive: Label Studio needs a result, and stores none
            empty = {"result": [], "score": 0.0, "model_version": model.version}
            answers = [answer or empty for answer in answers]
        return JSONResponse({"results": answers})

    @router.post("/webhook")
    async def webhook(request: Request) -> JSONResponse:
        access.webhook(request)
        if backend.hint_file is not None:
            await asyncio.to_thread(_leave_hint, backend.hint_file)
        # Its body is not read: the sensor asks Label Studio itself, as a webhook may be lost or
        # sent twice.
        return JSONResponse({"ok": True})

    return router


def _corrections(backend: Backend, bodies: BodyBuffer) -> APIRouter:
    """Return the routes of the predictor's dialog "This is wrong"."""
    router = APIRouter()
    desk = CorrectionDesk(
        backend.store, lambda: backend.model.current, max_pixels=backend.limits.max_pixels
    )
    gate = Gate(_MAX_CORRECTIONS)

    @router.get("/corrections/labels")
    async def labels(request: Request) -> LabelsOffered:
        backend.access.predictor(request)
        return desk.offered()

    @router.post("/corrections")
    async def correct(request: Request) -> JSONResponse:
        backend.access.predictor(request)
        try:
            async with bodies.body(request, MAX_CORRECTION_BYTES) as body:
                with gate.enter():
                    taken = await asyncio.to_thread(desk.take, body)
        except (RequestRefused, ClientDisconnect):
            raise
        except StoreError as error:
            log.exception("a correction is not in the store")
            raise RequestRefused(
                503,
                "store_silent",
                "the store cannot be written now; send it again later (the log of the labelling "
                "backend says why)",
            ) from error
        if taken.fresh:
            log.info("corrected: %s", taken.key)
        answer = {"sha256": taken.correction.sha256, "key": taken.key, "fresh": taken.fresh}
        return JSONResponse(answer, 201 if taken.fresh else 200)

    return router


def _report(backend: Backend) -> APIRouter:
    """Return the route of the report page."""
    router = APIRouter()
    shelf = ReportShelf(backend.store)

    @router.get("/")
    async def report(request: Request) -> HTMLResponse:
        try:
            backend.access.reader(request)
        except RequestRefused as refused:  # makes a browser ask for the password
            challenge = {"WWW-Authenticate": 'Basic realm="imgclf labelling"'}
            return HTMLResponse(refused.message, 401, challenge)
        try:
            page: str | bytes | None = await asyncio.to_thread(shelf.newest)
        except StoreError as error:
            return HTMLResponse(unreachable(backend.project, str(error)), 503, _PAGE_HEADERS)
        page = page or no_report(backend.project, backend.label_studio_url)
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    return router


def _asked(body: bytes) -> tuple[PredictRequest, bool]:
    """Parse the request; return it and whether it is interactive (a person waits in the editor)."""
    try:
        asked = PredictRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise RequestRefused(400, "bad_request", f"{place}: {first['msg']}") from None
    return asked, asked.params.context is not None


async def _answers(backend: Backend, prelabeller: Prelabeller, asked: PredictRequest) -> list[Any]:
    serving = backend.model.current  # read once: one model for the whole request
    nothing: list[Any] = [[] for _ in asked.tasks]
    if serving is None:
        log.warning("%d tasks get no pre-label: %s", len(asked.tasks), backend.model.absence)
        return nothing
    try:
        names = parse_label_config(asked.label_config).names if asked.label_config else None
    except LabelConfigError as error:
        log.warning("%d tasks get no pre-label: %s", len(asked.tasks), error)
        return nothing
    tasks: tuple[LabelStudioTask, ...] = asked.tasks
    return await prelabeller.answer(serving, tasks, None if names is None else frozenset(names))


def _leave_hint(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:  # without the hint the sensor polls later
        log.warning("%s cannot be touched: %s", path, error.strerror)
