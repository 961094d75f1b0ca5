"""Which API call an HTTP request is, and the log of all of them."""

import io
import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

_SCOPE = re.compile(r"Credential=[^/]*/\d{8}/[^/]*/([^/]*)/aws4_request")
_INVOCATION = re.compile(r"^/endpoints/([^/]+)/invocations$")
_CLIENTS = {"monitoring": "cloudwatch", "apigateway": "apigatewayv2"}
"""Signing names that are not boto3's."""
_KEPT = 200_000


@dataclass
class Call:
    """One API call.

    Attributes:
        service: the name of its boto3 client.
        protocol: ``json``, ``query``, ``cbor`` or ``rest``.
        request: its members; of S3 and of an endpoint's invocation only where it goes.
    """

    service: str
    operation: str
    protocol: str
    request: dict[str, Any]


def identify(environ: dict[str, Any]) -> Call:
    """The call; its body is read, and put back, unless it is S3's or an endpoint's."""
    path = environ.get("PATH_INFO", "/")
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if found := _INVOCATION.match(path):
        return Call(
            "sagemaker-runtime", "InvokeEndpoint", "rest", {"EndpointName": unquote(found[1])}
        )
    service = _service(environ, query)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return Call(service, target.rpartition(".")[2], "json", _json_body(environ))
    if service == "s3":
        return _s3(environ["REQUEST_METHOD"], path, query, environ)
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        members = dict(parse_qsl(_body(environ).decode("utf-8", "replace")))
        return Call(service, members.pop("Action", "?"), "query", members)
    if "/operation/" in path:  # Smithy RPC
        return Call(service, path.rpartition("/")[2], "cbor", {})
    return Call(service, query.get("Action", f"{environ['REQUEST_METHOD']} {path}"), "rest", query)


def access_key(environ: dict[str, Any]) -> str:
    """Of the caller; "" if the request is not signed in its header."""
    return environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0]


def _service(environ: dict[str, Any], query: dict[str, str]) -> str:
    scope = environ.get("HTTP_AUTHORIZATION", "") or (
        "Credential=" + query.get("X-Amz-Credential", "")
    )
    found = _SCOPE.search(scope)
    if found:
        name = found[1].lower()
        return _CLIENTS.get(name, name)
    return "sagemaker" if environ.get("HTTP_X_AMZ_TARGET", "").startswith("SageMaker.") else "s3"


def _body(environ: dict[str, Any]) -> bytes:
    data = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(data)
    environ["CONTENT_LENGTH"] = str(len(data))
    return data


def _json_body(environ: dict[str, Any]) -> dict[str, Any]:
    try:
        members = json.loads(_body(environ) or b"{}")
    except ValueError:
        members = None
    return members if isinstance(members, dict) else {"": "the body is no JSON object"}


_S3_OBJECT = {
    ("GET", "uploadId"): "ListParts",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "tagging"): "PutObjectTagging",
    ("GET", "tagging"): "GetObjectTagging",
    ("GET", "attributes"): "GetObjectAttributes",
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
}
_S3_BUCKET = {
    ("POST", "delete"): "DeleteObjects",
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "versioning"): "GetBucketVersioning",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("GET", "notification"): "GetBucketNotificationConfiguration",
    ("PUT", "notification"): "PutBucketNotificationConfiguration",
    ("GET", "encryption"): "GetBucketEncryption",
    ("PUT", "encryption"): "PutBucketEncryption",
    ("GET", "policy"): "GetBucketPolicy",
    ("GET", "publicAccessBlock"): "GetPublicAccessBlock",
    ("PUT", "publicAccessBlock"): "PutPublicAccessBlock",
    ("DELETE", "publicAccessBlock"): "DeletePublicAccessBlock",
    ("PUT", "policy"): "PutBucketPolicy",
    ("GET", ""): "ListObjects",
    ("HEAD", ""): "HeadBucket",
    ("PUT", ""): "CreateBucket",
    ("DELETE", ""): "DeleteBucket",
}


def _s3(method: str, path: str, query: dict[str, str], environ: dict[str, Any]) -> Call:
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return Call("s3", "ListBuckets", "rest", {})
    table = _S3_OBJECT if key else _S3_BUCKET
    name = next((table[method, word] for word in query if (method, word) in table), None)
    name = name or table.get((method, ""), f"{method} {'&'.join(query)}")
    if name in ("PutObject", "UploadPart") and "HTTP_X_AMZ_COPY_SOURCE" in environ:
        name = "CopyObject" if name == "PutObject" else "UploadPartCopy"
    request: dict[str, Any] = {"Bucket": bucket}
    if key:
        request["Key"] = key
    for word in ("prefix", "start-after", "continuation-token", "partNumber"):
        if word in query:
            request[word] = query[word]
    for header in ("RANGE", "IF_NONE_MATCH", "IF_MATCH"):
        if f"HTTP_{header}" in environ:
            request[header.title().replace("_", "")] = environ[f"HTTP_{header}"]
    return Call("s3", name, "rest", request)


class CallLog:
    """The last calls, oldest first."""

    def __init__(self) -> None:
        """Empty."""
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def add(self, call: Call) -> dict[str, Any]:
        """Note a call that begins; the caller adds ``status``, ``seconds`` and ``fault``."""
        entry = {
            "service": call.service,
            "operation": call.operation,
            "time": time.time(),
            "request": call.request,
            "status": None,
            "fault": None,
        }
        with self._lock:
            self._entries.append(entry)
        return entry

    def select(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Those of an operation or a service; all by default."""
        with self._lock:
            entries = list(self._entries)
        return [e for e in entries if operation in (None, e["operation"], e["service"])]

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._entries.clear()
