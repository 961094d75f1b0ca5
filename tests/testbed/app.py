"""Process A's WSGI app: SageMaker's calls to the stand-in, every other call to moto.

Each call is logged, and meets the faults that are armed for it.
"""

import importlib
import importlib.util
import json
import logging
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from werkzeug import Request, Response

from tests.testbed import faults, permissions, proxy, validation
from tests.testbed.authorization import bucket_region
from tests.testbed.calls import Call, CallLog, access_key, identify
from tests.testbed.queues import without_counting
from tests.testbed.server import ConnectionLost
from tests.testbed.state import ApiError, State

logger = logging.getLogger(__name__)

MODULES = (
    "training",
    "processing",
    "tuning",
    "registry",
    "tags",
    "endpoints",
    "permissions",
    "quotas",
)
"""Modules of this package that offer OPERATIONS, SERVICES, ADMIN or INVOKE; see the README."""


class App:
    """The dispatcher."""

    def __init__(self, state: State) -> None:
        """Collect what the modules offer; moto's backends load with their first call."""
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from moto.sqs.models import SQSBackend

        SQSBackend.send_message = without_counting(SQSBackend.send_message)
        self.state = state
        self.log = CallLog()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._operations: dict[str, Any] = {}
        self._services: dict[tuple[str, str], Any] = {}
        self._invoke: Any = None
        self._admin: dict[str, Any] = {
            "health": lambda state, request: {"ok": True},
            "faults": self._faults,
            "calls": self._calls,
            "settings": self._settings,
        }
        for name in MODULES:
            if importlib.util.find_spec(f"tests.testbed.{name}") is None:
                continue
            module = importlib.import_module(f"tests.testbed.{name}")
            self._operations.update(getattr(module, "OPERATIONS", {}))
            self._services.update(getattr(module, "SERVICES", {}))
            self._admin.update(getattr(module, "ADMIN", {}))
            self._invoke = getattr(module, "INVOKE", self._invoke)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        if environ["PATH_INFO"].startswith("/_standin/"):
            return self._administer(environ)(environ, start_response)
        call = identify(environ)
        self.state.request.access_key = access_key(environ)
        entry = self.log.add(call)
        began = time.monotonic()

        fault = self.state.faults.for_call(call.service, call.operation, call.request)

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            entry["status"] = int(status[:3])
            entry["seconds"] = round(time.monotonic() - began, 4)
            if fault is not None and fault.kind == "clock":
                now = time.time() + float(fault.options["seconds"])
                headers = [*headers, ("Date", formatdate(now, usegmt=True))]
            return start_response(status, headers, exc_info)

        if fault is None:
            return self._answer(call, environ, start)
        entry["fault"] = fault.kind
        if fault.kind == "lost":
            self._lose(fault, call, environ, start)
        given = faults.answer(fault, call.service, call.protocol)
        if given is None:
            return self._answer(call, environ, start)
        status, content_type, body = given
        return Response(body, status, content_type=content_type)(environ, start)

    def _lose(self, fault: faults.Fault, call: Call, environ: Any, start: Any) -> None:
        """Drop the connection: after the work was done, unless ``when="before"``."""
        if fault.options.get("when", "after") == "after":

            def swallow(status: str, headers: Any, exc_info: Any = None) -> Any:
                return lambda data: None

            chunks = self._answer(call, environ, swallow)
            for _ in chunks:
                pass
            if hasattr(chunks, "close"):
                chunks.close()
        raise ConnectionLost(f"{call.operation} lost on demand")

    def _answer(self, call: Call, environ: Any, start: Any) -> Iterable[bytes]:
        try:
            permissions.check(self.state, call)
        except permissions.Denied as error:
            status, kind, body = faults.denial(str(error), call.service, call.protocol)
            region = call.service == "s3" and bucket_region(call.request["Bucket"])
            headers = {"x-amz-bucket-region": region} if region else {}
            return Response(body, status, headers, content_type=kind)(environ, start)
        handler = self._services.get((call.service, call.operation))
        if handler is not None:
            return handler(self.state, call.request)(environ, start)
        if call.service == "sagemaker-runtime":
            return self._invocation(call.request["EndpointName"], environ)(environ, start)
        if call.service == "sagemaker":
            return self._sagemaker(call)(environ, start)
        if call.service in proxy.SERVICES:
            elsewhere = self.state.settings["cloudwatch_url"]
            if elsewhere:
                return proxy.forward(elsewhere, environ)(environ, start)
            if call.service != "cloudwatch":  # moto has CloudWatch; of the rest it only says so
                text = f"{call.service} is in process B: use bed.with_cloudformation() first"
                return _error("UnrecognizedClientException", text)(environ, start)
        return self._moto(environ, start)

    def _sagemaker(self, call: Call) -> Response:
        try:
            validation.check_request(call.operation, call.request)
            if call.operation not in self._operations:
                text = f"the stand-in does not know {call.operation}: see tests/testbed/README.md"
                return _error("UnknownOperationException", text)
            answer = self._operations[call.operation](self.state, call.request)
            body = validation.answer_body(call.operation, answer)
        except ApiError as error:
            return _error(error.code, str(error), error.status)
        except Exception as error:
            logger.exception("%s %s", call.operation, call.request)
            return _error("InternalFailure", f"the stand-in is at fault: {error!r}", 500)
        return Response(json.dumps(body), 200, content_type="application/x-amz-json-1.1")

    def _invocation(self, endpoint: str, environ: Any) -> Response:
        if self._invoke is None:
            return _error("ValidationError", f"Endpoint {endpoint} of account not found.")
        try:
            return self._invoke(self.state, endpoint, Request(environ))
        except ApiError as error:
            return _error(error.code, str(error), error.status)
        except Exception as error:
            logger.exception("invocation of %s", endpoint)
            return _error("InternalFailure", f"the stand-in is at fault: {error!r}", 500)

    # --- administration ---------------------------------------------------------------------

    def _administer(self, environ: Any) -> Response:
        request = Request(environ)
        name = request.path.removeprefix("/_standin/")
        handler = self._admin.get(name)
        if handler is None:
            return Response(f"no such switch; there are {sorted(self._admin)}", 404)
        try:
            given = (
                request.get_json()
                if request.method == "POST"
                else dict(parse_qsl(environ.get("QUERY_STRING", "")))
            )
            result = handler(self.state, {**given, "_method": request.method})
        except (ValueError, KeyError, TypeError, ApiError) as error:
            return Response(f"{type(error).__name__}: {error}", 400)
        return Response(json.dumps(result, default=str), 200, content_type="application/json")

    def _faults(self, state: State, request: dict[str, Any]) -> Any:
        if request.pop("_method") == "POST":
            if request.get("clear"):
                state.faults.clear()
            else:
                options = request.get("options", {})
                state.faults.add(
                    request["operation"], request["kind"], int(request.get("times", 1)), **options
                )
        return state.faults.armed()

    def _calls(self, state: State, request: dict[str, Any]) -> Any:
        if request.get("clear"):
            self.log.clear()
        return self.log.select(request.get("operation") or None)

    def _settings(self, state: State, request: dict[str, Any]) -> Any:
        """``grace_s`` between SIGTERM and SIGKILL; ``image_entrypoint`` in the Dockerfile's place."""
        request.pop("_method")
        unknown = request.keys() - state.settings.keys()
        if unknown:
            raise ValueError(f"no setting {sorted(unknown)}; there are {sorted(state.settings)}")
        state.settings.update(request)
        return state.settings


def _error(code: str, message: str, status: int = 400) -> Response:
    return Response(
        faults.error_body(code, message),
        status,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-ErrorType": code},
    )
