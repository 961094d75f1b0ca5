"""``python -m serving.container``: serve one model by SageMaker's container contract.

The contract (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html):
SageMaker runs the image with the argument ``serve`` after it has unpacked ``model.tar.gz`` into
``/opt/ml/model``; the container is healthy once ``GET /ping`` answers 200. Here 200 means that the
model named by the endpoint's template is verified, loaded and warm. Until then the server answers
503; it exits with 1 if the model cannot be served.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from guard.middleware import BrowserGuard
from serving.endpoint.invocations import Invoker, TopK, add_error_handlers, bounded_int
from serving.endpoint.listening import MAX_PORT, listen, server_config
from serving.endpoint.model import check_identity, warm_model
from serving.errors import ModelUnusable, RequestRefused
from serving.limits.limits import LimitsWrong, ServingLimits
from training.artefact.artefact import verify
from training.artefact.predictor import OnnxPredictor
from training.container.container import ROOT_VARIABLE
from training.container.hardware import usable_cores
from training.container.privileges import drop_privileges
from training.errors import ArtefactError

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
VERSION_VARIABLE = "IMGCLF_MODEL_VERSION"
DIGEST_VARIABLE = "IMGCLF_DIGEST"

_MODEL = "model"

log = logging.getLogger("serving")


@dataclass
class ContainerModel:
    """The model in ``folder``.

    Attributes:
        folder: the unpacked artefact.
        model_version: the version that the model must have.
        digest: the digest that the artefact must have, 64 hex digits.
    """

    folder: Path
    model_version: str
    digest: str
    _predictor: OnnxPredictor | None = field(default=None, init=False)

    def load(self) -> None:
        """Verify, load and warm the model.

        Raises:
            ModelUnusable: it is missing, damaged, another model, or does not predict.
        """
        try:
            manifest = verify(self.folder)
        except ArtefactError as error:
            raise ModelUnusable(str(error)) from error
        check_identity(
            manifest,
            model_version=self.model_version,
            digest=self.digest,
            what=str(self.folder),
            meant_by="the endpoint's environment",
        )
        self._predictor = warm_model(self.folder, threads=1)

    def model(self) -> OnnxPredictor:
        """Return the loaded model.

        Raises:
            RequestRefused: 503, it is still being loaded.
        """
        if self._predictor is None:
            raise RequestRefused(503, "no_model", f"{self.model_version} is being loaded")
        return self._predictor


def create_container_app(container: ContainerModel, limits: ServingLimits | None = None) -> FastAPI:
    """Build the application for ``container``: ``GET /ping`` and ``POST /invocations``."""
    invoker = Invoker({_MODEL: container.model}, workers=usable_cores(), limits=limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        invoker.close()

    app = FastAPI(title="imgclf container", lifespan=lifespan, docs_url=None, redoc_url=None)
    add_error_handlers(app)

    @app.get("/ping")
    async def ping() -> JSONResponse:
        model = container.model()
        return JSONResponse(
            {
                "status": "ok",
                "model_version": model.manifest.model_version,
                "digest": model.digest,
            }
        )

    @app.post("/invocations")
    async def invoke(request: Request, top_k: TopK = None) -> JSONResponse:
        return await invoker.invoke(_MODEL, request, top_k)

    return app


def main() -> None:
    """Serve until SIGTERM. Exit codes: 1 the model cannot be served, 2 wrong arguments."""
    _check_command()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    root = Path(os.environ.get(ROOT_VARIABLE, "/opt/ml"))
    drop_privileges(root, written=())
    container = ContainerModel(
        root / "model", _required(VERSION_VARIABLE), _required(DIGEST_VARIABLE)
    )
    # SageMaker connects from outside the container; elsewhere only this machine may.
    host = "127.0.0.1" if ROOT_VARIABLE in os.environ else "0.0.0.0"  # noqa: S104 - see above
    configured = os.environ.get(PORT_VARIABLE, "8080")
    port = bounded_int(configured, 0, MAX_PORT)
    if port is None:
        sys.exit(
            f"cannot listen on {host}:{configured[:40]!r}; {PORT_VARIABLE} must be a port, 0 to "
            f"{MAX_PORT}"
        )
    try:
        limits = ServingLimits.from_environment()
        listener = listen(host, port)
    except LimitsWrong as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port} ({error}); {PORT_VARIABLE} sets the address")
    log.info("the container listens on %s:%s", *listener.getsockname())
    # Only SageMaker knows the Host it uses, and no browser can reach the container.
    app = BrowserGuard(create_container_app(container, limits), any_host=True)
    server = uvicorn.Server(server_config(app))

    async def run() -> bool:
        loaded = asyncio.create_task(_load(container, server))
        await server.serve(sockets=[listener])
        return not loaded.done() or loaded.result()

    if not asyncio.run(run()):
        sys.exit(1)


async def _load(container: ContainerModel, server: uvicorn.Server) -> bool:
    """Load the model, or stop the server; return whether it is loaded."""
    try:
        await asyncio.to_thread(container.load)
    except Exception as error:
        # Whatever the error, nothing can be served: exit, so that SageMaker notices at once.
        known = isinstance(error, ModelUnusable)
        log.error("cannot serve: %s", error, exc_info=None if known else error)
        server.should_exit = True
        return False
    log.info("serves %s (%s)", container.model_version, container.digest[:12])
    return True


def _check_command() -> None:
    parser = argparse.ArgumentParser("python -m serving.container", description=__doc__)
    parser.add_argument("command", nargs="?", default="serve", choices=("serve", "train"))
    if parser.parse_args().command == "train":
        parser.error(
            "this entry point only serves; a training job names its own: ContainerEntrypoint "
            '["python", "-m", "training.launcher", "training.train"]'
        )


def _required(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        sys.exit(
            f"{variable} is not set: no model is set for this container; "
            "cloudformation/endpoint.yaml sets it in the model's Environment"
        )
    return value


if __name__ == "__main__":
    main()
