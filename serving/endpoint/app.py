"""The HTTP application of the endpoint host: SageMaker Runtime's path and the container's.

``POST /endpoints/{name}/invocations`` is the path of ``boto3.client("sagemaker-runtime")``;
``POST /invocations`` and ``GET /ping`` are SageMaker's container contract, and serve production.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.deployments import EndpointStatus, endpoint_name
from serving.endpoint.host import EndpointHost, Slot
from serving.endpoint.invocations import MAX_PENDING, Invoker, TopK, add_error_handlers
from serving.errors import RequestRefused
from serving.limits.limits import ServingLimits
from training.artefact.predictor import OnnxPredictor
from training.container.hardware import usable_cores


def find_slot(host: EndpointHost, name: str) -> Slot:
    """Return the stage with an endpoint's name.

    Raises:
        RequestRefused: 404, there is no such endpoint.
    """
    slot = host.slots.get(name)
    if slot is None:
        raise RequestRefused(
            404,
            "endpoint_not_found",
            f"endpoint {name!r} not found; there are {', '.join(host.slots)}",
        )
    return slot


def create_app(
    host: EndpointHost,
    *,
    workers: int | None = None,
    max_pending: int = MAX_PENDING,
    limits: ServingLimits | None = None,
) -> FastAPI:
    """Build the application for ``host``, which starts and stops with it.

    Args:
        host: serves the models.
        workers: predictions at a time; ``None``: one a processor.
        max_pending: requests of one stage that may be running or waiting.
        limits: limits of one request.
    """
    invoker = Invoker(
        {name: partial(_model_of, slot) for name, slot in host.slots.items()},
        workers=workers or usable_cores(),
        max_pending=max_pending,
        limits=limits,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        host.start()
        yield
        await asyncio.to_thread(host.stop)
        invoker.close()

    # The interactive pages would load their scripts from the internet.
    app = FastAPI(title="imgclf endpoint", lifespan=lifespan, docs_url=None, redoc_url=None)
    add_error_handlers(app)
    _add_routes(app, host, invoker)
    return app


def _add_routes(app: FastAPI, host: EndpointHost, invoker: Invoker) -> None:
    @app.get("/")
    async def index() -> JSONResponse:
        """What is here, for who follows the link that ``imgclf up`` prints."""
        names = (f"/endpoints/{name}" for name in sorted(host.slots))
        return JSONResponse(
            {
                "project": host.project,
                "endpoints": {path: f"POST an image to {path}/invocations" for path in names},
                "health": "/ping",
            }
        )

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
        """Predict with the model of an endpoint.

        Args:
            name: of the endpoint.
            request: with the image or images as its body.
            top_k: number of labels in the answer; all if ``None``.
        """
        return await invoker.invoke(find_slot(host, name).name, request, top_k)

    @app.post("/invocations")
    async def invoke_container(request: Request, top_k: TopK = None) -> JSONResponse:
        return await invoker.invoke(endpoint_name(host.project, "prod"), request, top_k)


def _model_of(slot: Slot) -> OnnxPredictor:
    serving = slot.serving
    if serving is None:
        loading = "it is being loaded" if slot.status.changing else "nothing is deployed there yet"
        why = slot.status.failure_reason or loading
        raise RequestRefused(503, "no_model", f"{slot.name} serves no model: {why}")
    return serving.model
