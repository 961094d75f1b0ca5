"""Limits the bodies of the predictor's requests; uploads have a limit of their own."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 4 * 1024**2
"""Bytes of a body that is no upload. Gradio and FastAPI read it whole and repeat it in their errors."""

_UPLOADS = "/upload"


class BodyBound:
    """ASGI middleware that reads a body first, and refuses one of more than ``MAX_BYTES``.

    Uploads pass: Gradio writes them to the disk as they come, and limits each file.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413.

        Args:
            scope: ASGI connection scope.
            receive: ASGI receive callable.
            send: ASGI send callable.
        """
        if scope["type"] != "http" or scope["path"].endswith(_UPLOADS):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client disconnected
                return
            body += message.get("body", b"")
            if len(body) > MAX_BYTES:
                why = f"the request has more than {MAX_BYTES // 1024**2} MB\n"
                refusal = PlainTextResponse(why, 413, {"Connection": "close"})
                await refusal(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        await self._app(scope, _again(bytes(body), receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that first gives the body that was read already."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received
