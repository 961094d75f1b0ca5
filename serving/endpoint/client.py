"""A client of the endpoint host, for programs on the same machine."""

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict

from errors.base import ImgclfError
from serving.deployments import EndpointStatus

if TYPE_CHECKING:
    import httpx

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
    """What a host says of itself; ``store_problem`` is why the store does not answer it."""

    model_config = ConfigDict(frozen=True)

    project: str
    store: str
    store_problem: str | None


class HostClient:
    """Client of the host at ``url``. Thread-safe; connections are kept."""

    def __init__(self, url: str) -> None:
        import httpx

        self.url = url
        self._http = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=False,  # loopback: no proxy
            verify=False,  # noqa: S501 - plain HTTP; loading certificates takes 30 ms
        )

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
        if answer.is_error:
            error = answer.json()["error"]
            raise InvocationFailed(answer.status_code, error["code"], error["message"])
        parsed: dict[str, Any] = answer.json()
        return parsed

    def _send(
        self, method: str, path: str, body: bytes = b"", content_type: str = ""
    ) -> "httpx.Response":
        import httpx

        headers = {"content-type": content_type} if content_type else {}
        try:
            return self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise HostSilent(str(error) or repr(error)) from error

    def _parsed(self, answer: "httpx.Response", model: type[Answer]) -> Answer:
        try:
            return model.model_validate_json(answer.content)
        except ValueError:
            raise HostSilent(f"HTTP {answer.status_code}: {answer.text[:200]}") from None
