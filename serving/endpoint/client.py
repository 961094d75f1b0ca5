"""A client of the endpoint host, for programs on the same machine."""

import http.client
import json
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from errors.base import ImgclfError
from serving.deployments import EndpointStatus

_CONNECT_S = 5.0
_ANSWER_S = 60.0
"""Seconds that SageMaker gives a model to respond
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html).
"""

Answer = TypeVar("Answer", bound=BaseModel)


class HostSilent(ImgclfError, RuntimeError):
    """There is no response, or not one of an endpoint host."""


class InvocationFailed(ImgclfError, RuntimeError):
    """The endpoint refused a request.

    Args:
        status: HTTP status.
        code: the endpoint's error code.
        message: one sentence for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Ping(BaseModel):
    """The host's project and store; ``store_problem``: why the store does not answer, if so."""

    model_config = ConfigDict(frozen=True)

    project: str
    store: str
    store_problem: str | None


@dataclass(frozen=True)
class _Response:
    status: int
    body: bytes


class HostClient:
    """Client of the host at ``url``, on this machine. Thread-safe."""

    # Not httpx: importing it costs `imgclf status` and `imgclf approve` 0.1 CPU seconds. A connection
    # for each request: on loopback it costs less than a millisecond.

    def __init__(self, url: str) -> None:
        self.url = url
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port

    def ping(self) -> Ping:
        """Return the host's project and store.

        Raises:
            HostSilent: there is no response, or not one of an endpoint host.
        """
        return self._parsed(self._send("GET", "/ping"), Ping)

    def describe(self, name: str) -> EndpointStatus:
        """Return the status of the endpoint ``name``.

        Raises:
            HostSilent: there is no response, or not one of an endpoint host.
        """
        return self._parsed(self._send("GET", f"/endpoints/{name}"), EndpointStatus)

    def invoke(
        self, name: str, body: bytes, content_type: str, top_k: int | None
    ) -> dict[str, Any]:
        """Invoke an endpoint.

        Args:
            name: of the endpoint, ``<project>-<stage>``.
            body: an image file, or JSON with several.
            content_type: media type of the body.
            top_k: number of labels to return; ``None``: all.

        Returns:
            The parsed JSON of the response.

        Raises:
            HostSilent: there is no response.
            InvocationFailed: the endpoint refused the request.
        """
        path = f"/endpoints/{name}/invocations" + (f"?top_k={top_k}" if top_k else "")
        answer = self._send("POST", path, body, content_type)
        parsed: dict[str, Any] = json.loads(answer.body)
        if answer.status >= http.client.BAD_REQUEST:
            error = parsed["error"]
            raise InvocationFailed(answer.status, error["code"], error["message"])
        return parsed

    def _send(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> _Response:
        headers = {"content-type": content_type} if content_type else {}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_S)
        try:
            with closing(connection):
                connection.connect()
                connection.sock.settimeout(_ANSWER_S)
                # A host that refuses a long body answers and closes before it has read all of it.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, body or None, headers)
                response = connection.getresponse()
                return _Response(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise HostSilent(str(error) or repr(error)) from error

    def _parsed(self, answer: _Response, model: type[Answer]) -> Answer:
        try:
            return model.model_validate_json(answer.body)
        except ValueError:
            text = answer.body[:200].decode(errors="replace")
            raise HostSilent(f"HTTP {answer.status}: {text}") from None
