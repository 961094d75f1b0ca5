"""The HTTP session with a Label Studio server: authentication, retries and errors."""

import json
import re
import threading
import time
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_any,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
)

from resources.label_studio.types import LabelStudioDown, LabelStudioRefused, TokenRefused

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio as Sdk

TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 120.0
"""Limit for requests that write hundreds of tasks or predictions."""

CONNECT_TIMEOUT_S = 5.0
WAITS_S = (0.5, 1.0, 2.0)
"""Seconds between tries. A sensor's tick must end within 60 s."""

MAX_RETRY_AFTER_S = 10.0
_OVERLOADED = frozenset({429, 503})
_SERVER_ERRORS = frozenset({500, 502, 503, 504})
"""500 is included: a locked SQLite database causes it (https://labelstud.io/guide/FAQs.html)."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
_TAG = re.compile(r"<[^<>]*>")
"""HTML tags: some messages of the server contain links."""

_REFRESH_PATH = "/api/token/refresh/"
_EARLY_S = 30.0
"""Seconds before its expiry at which an access token is renewed; the server's clock may be ahead."""


@lru_cache(maxsize=8)
def open_session(url: str, token: str) -> httpx.Client:
    """Return the HTTP session with the server at ``url``, which all threads share.

    Answers with an error status, and failures to reach the server, are raised as errors of
    ``types``. Requests that are safe to repeat are repeated.
    """
    base = url.rstrip("/")
    # No proxies and no certificates from the environment where nothing is encrypted: loading the
    # certificates takes longer than an idle poll.
    encrypted = base.startswith("https:")
    inner = httpx.HTTPTransport(verify=encrypted, trust_env=encrypted)
    return httpx.Client(
        base_url=base,
        auth=TokenAuth(base, token),
        transport=RetryTransport(inner, base),
        timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        event_hooks={"response": [_raise_for_status]},
        headers={"Accept": "application/json"},
    )


def open_sdk(session: httpx.Client) -> "Sdk":
    """Return Label Studio's SDK client on a session, with the session's retries and errors.

    For setup only: its import takes seconds and 190 MB, too much for a sensor.
    """
    from label_studio_sdk.client import LabelStudio as Sdk

    base = str(session.base_url).rstrip("/")
    return Sdk(base_url=base, api_key="the session signs", httpx_client=session)


def is_personal(token: str) -> bool:
    """Whether a token is a personal access token (a JWT), not a legacy token of 40 hex digits."""
    return token.count(".") == 2 and token.startswith("ey")


def token_expiry(token: str) -> datetime | None:
    """Return the expiry time in a JWT, without verifying it; ``None`` if it has none."""
    import base64

    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


class TokenAuth(httpx.Auth):
    """Signs requests with a legacy token, or with access tokens obtained by a personal token.

    Access tokens are valid for 5 minutes.
    """

    requires_response_body = True

    def __init__(self, base: str, token: str) -> None:
        self._base, self._token = base, token
        self._access, self._ends = "", 0.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Return a text without the token."""
        return f"TokenAuth({self._base!r})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth."""
        if not is_personal(self._token):
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
        else:
            access = self._known()
            if not access:
                answer = yield httpx.Request(
                    "POST",
                    f"{self._base}{_REFRESH_PATH}",
                    json={"refresh": self._token},
                    extensions=request.extensions,  # the timeouts
                )
                access = self._keep(answer)
            request.headers["Authorization"] = f"Bearer {access}"
            yield request

    def _known(self) -> str:
        with self._lock:
            return self._access if time.time() < self._ends - _EARLY_S else ""

    def _keep(self, answer: httpx.Response) -> str:
        access: str = answer.json()["access"]
        ends = token_expiry(access)
        with self._lock:
            self._access = access
            self._ends = ends.timestamp() if ends else time.time() + 2 * _EARLY_S
        return access


class RetryTransport(httpx.BaseTransport):
    """Repeats requests that are safe to repeat; raises LabelStudioDown if the server is not reached."""

    def __init__(self, inner: httpx.BaseTransport, server: str) -> None:
        self._inner, self._server = inner, server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx.BaseTransport."""
        retrying = Retrying(
            retry=retry_any(
                retry_if_exception(partial(_is_worth_repeating, request)),
                retry_if_result(partial(_is_transient, request)),
            ),
            stop=stop_after_attempt(len(WAITS_S) + 1),
            wait=_seconds_until_retry,
            before_sleep=_close_response,
            retry_error_callback=_last_result,
        )
        try:
            response: httpx.Response = retrying(self._inner.handle_request, request)
        except httpx.TransportError as error:
            raise LabelStudioDown(_unreachable(self._server, request, error)) from error
        return response

    def close(self) -> None:
        """See httpx.BaseTransport."""
        self._inner.close()


def _may_repeat(request: httpx.Request) -> bool:
    return request.method in _IDEMPOTENT or bool(request.extensions.get("idempotent"))


def _is_worth_repeating(request: httpx.Request, error: BaseException) -> bool:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return True  # it never got there
    # Repeating a request does not make a slow server faster.
    transient = isinstance(error, httpx.TransportError)
    return transient and _may_repeat(request) and not isinstance(error, httpx.TimeoutException)


def _is_transient(request: httpx.Request, response: httpx.Response) -> bool:
    if response.status_code in _OVERLOADED:
        return True
    return response.status_code in _SERVER_ERRORS and _may_repeat(request)


def _seconds_until_retry(state: RetryCallState) -> float:
    """Return the seconds to wait: as the server asks (Retry-After), else by ``WAITS_S``."""
    wait = WAITS_S[min(state.attempt_number, len(WAITS_S)) - 1]
    if state.outcome is None or state.outcome.failed:
        return wait
    asked = state.outcome.result().headers.get("retry-after", "")
    return min(float(asked), MAX_RETRY_AFTER_S) if asked.isdecimal() else wait


def _close_response(state: RetryCallState) -> None:
    if state.outcome is not None and not state.outcome.failed:
        state.outcome.result().close()


def _last_result(state: RetryCallState) -> httpx.Response:
    """Return the response to the last try, or raise its error."""
    assert state.outcome is not None
    response: httpx.Response = state.outcome.result()
    return response


def _unreachable(server: str, request: httpx.Request, error: httpx.TransportError) -> str:
    what = f"{request.method} {request.url.path}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return (
            f"no Label Studio answers at {server} ({error or type(error).__name__}); start it "
            "(`imgclf up --label-studio`) or correct label_studio.url"
        )
    if isinstance(error, httpx.TimeoutException):
        limit: Mapping[str, float | None] = request.extensions.get("timeout", {})
        return (
            f"Label Studio at {server} did not answer {what} within {limit.get('read') or 0:g} s; "
            "is it overloaded? Look at its log and try again"
        )
    return (
        f"Label Studio at {server} closed the connection during {what} "
        f"({error or type(error).__name__}); did it restart? Try again"
    )


def _raise_for_status(response: httpx.Response) -> None:
    """Raise the error of ``types`` for an answer with an error status."""
    if response.status_code < 400:
        return
    response.read()
    request = response.request
    parts = urlsplit(str(request.url))
    server, what = f"{parts.scheme}://{parts.netloc}", f"{request.method} {parts.path}"
    message = _response_text(response)
    if response.status_code == 401:
        raise TokenRefused(
            f"Label Studio at {server} refuses the token ({message}); take a new one from its page "
            "Account & Settings and set label_studio.token. A legacy token must be switched on "
            "in the organisation's settings",
            response.status_code,
        )
    if response.status_code in _SERVER_ERRORS | _OVERLOADED:
        raise LabelStudioDown(
            f"Label Studio at {server} failed at {what} with {response.status_code} ({message}); "
            "look at its log and try again",
            response.status_code,
        )
    raise LabelStudioRefused(
        f"Label Studio at {server} refused {what} with {response.status_code}: {message}",
        response.status_code,
    )


def _response_text(response: httpx.Response) -> str:
    """Return the server's error message, at most 500 characters."""
    try:
        body: Any = response.json()
    except ValueError:
        return response.reason_phrase or "no reason given"
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return _TAG.sub("", text).strip()[:500]
