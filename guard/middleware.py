"""ASGI middleware that protects a server without authentication from pages of other sites."""

from collections.abc import Collection, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guard.rules import Asked, Rules


class BrowserGuard:
    """Refuses requests that a page of another site makes a browser send.

    Args:
        app: the application to protect.
        allowed_hosts: see ``Rules``.
        health_paths: see ``Rules``.
        any_host: see ``Rules``.

    Raises:
        ValueError: one of ``allowed_hosts`` is no host name.
    """

    # Not Starlette's TrustedHostMiddleware: it has no address ranges, ignores ``Origin``, and its
    # response does not say what to set.
    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Iterable[str] = (),
        health_paths: Collection[str] = (),
        *,
        any_host: bool = False,
    ) -> None:
        self._app = app
        self._rules = Rules(allowed_hosts, health_paths, any_host=any_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it.

        Args:
            scope: ASGI connection scope.
            receive: ASGI receive callable.
            send: ASGI send callable.
        """
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self._rules.refusal(_asked(scope))
        if refusal is None:
            await self._app(scope, receive, send if scope["type"] == "websocket" else framed(send))
            return
        if scope["type"] == "websocket":  # the server answers the handshake with 403
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        await PlainTextResponse(refusal.reason + "\n", refusal.status)(scope, receive, send)


def _asked(scope: Scope) -> Asked:
    server = scope.get("server")
    return Asked(
        method=scope.get("method", ""),
        path=scope["path"],
        headers=Headers(scope=scope).items(),
        server=server[0] if server else None,
    )


def framed(send: Send) -> Send:
    """Wrap ``send`` so that other sites cannot frame the pages: a click in a frame is a command, too."""

    async def with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("X-Frame-Options", "SAMEORIGIN")
        await send(message)

    return with_header


def is_json(headers: Headers) -> bool:
    """Whether the content type is JSON, which no page can send to another site without a preflight."""
    types = headers.getlist("content-type")
    return len(types) == 1 and types[0].partition(";")[0].strip().lower() == "application/json"
