"""Requests as API Gateway hands them to the edge's handler."""

import base64
import json
from dataclasses import dataclass

from cloudformation.edge import handler as edge

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
REQUEST_ID = "8f1c9a1e-0000-4000-8000-000000000001"


@dataclass
class Context:
    aws_request_id: str = REQUEST_ID


def event(body: bytes | str | None, content_type: str | None = None, **query: str) -> dict:
    """As API Gateway makes it: bytes are base64 (payload format 2.0)."""
    made: dict = {
        "version": "2.0",
        "headers": {"content-type": content_type} if content_type else {},
        "isBase64Encoded": isinstance(body, bytes),
    }
    if body is not None:
        made["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    if query:
        made["queryStringParameters"] = query
    return made


def url_of(data: bytes, head: str = "data:image/png;base64") -> str:
    return f"{head},{base64.b64encode(data).decode()}"


def refused(made: dict) -> tuple[int, str, str]:
    """Status, code and message of a refusal in the inference contract's form."""
    given = edge.handler(made, Context())
    assert given["headers"]["x-request-id"] == REQUEST_ID
    assert given["headers"]["content-type"] == "application/json"
    error = json.loads(given["body"])
    assert list(error) == ["error"]
    assert list(error["error"]) == ["code", "message"]
    return given["statusCode"], error["error"]["code"], error["error"]["message"]
