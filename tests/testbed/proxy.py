"""Calls that process B answers, sent on: so that they are logged and meet faults like the others."""

import http.client
from typing import Any
from urllib.parse import urlsplit

from werkzeug import Response

SERVICES = ("cloudformation", "cloudwatch", "lambda", "application-autoscaling", "apigatewayv2")
"""What B has, by boto3's names; moto only pretends to most of it."""

_TIMEOUT_S = 900
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date")


def forward(url: str, environ: dict[str, Any]) -> Response:
    """Process B's answer to a request."""
    place = urlsplit(url)
    path = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_TIMEOUT_S)
    try:
        connection.request(environ["REQUEST_METHOD"], path, body, _headers(environ))
        answer = connection.getresponse()
        headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP]
        return Response(answer.read(), answer.status, headers)
    finally:
        connection.close()


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("HOST", "CONNECTION", "TRANSFER-ENCODING", "EXPECT"):
        headers.pop(name, None)
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    return headers
