"""A small, fast S3 in memory, for benchmarks: what a client costs shows only if the server is
quicker than it. (moto answers some 300 requests a second.)

It knows PUT (with ``If-None-Match: *``), GET, HEAD, DeleteObjects and ListObjectsV2 of one bucket, checks no
signature, and answers each request ``--latency-ms`` after it came: a real bucket's first byte
takes 10 to 100 ms.
"""

import argparse
import asyncio
import bisect
import hashlib
import html
import re
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000


class Objects:
    """All objects: body, etag and time by key; the sorted list of keys is made when it is
    needed."""

    def __init__(self, made: int, body: bytes) -> None:
        self.by_key: dict[str, tuple[bytes, str]] = {}
        self._keys: list[str] = []
        for number in range(made):
            key = f"raw/class-{number % 10}/photo-{number:08d}.jpg"
            self.by_key[key] = (body, hashlib.md5(key.encode()).hexdigest())

    def keys(self) -> list[str]:
        if len(self._keys) != len(
            self.by_key
        ):  # enough: no key replaces another between two listings
            self._keys = sorted(self.by_key)
        return self._keys

    def page(self, query: dict[str, list[str]]) -> bytes:
        """The response to ListObjectsV2."""
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        keys = self.keys()
        start = max(bisect.bisect_left(keys, prefix), bisect.bisect_right(keys, after))
        found = [key for key in keys[start : start + PAGE + 1] if key.startswith(prefix)]
        more, found = len(found) > PAGE, found[:PAGE]
        time = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
        rows = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>{time}</LastModified>"
            f"<ETag>&quot;{self.by_key[key][1]}&quot;</ETag><Size>{len(self.by_key[key][0])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in found
        )
        token = (
            f"<NextContinuationToken>{escape(found[-1])}</NextContinuationToken>" if more else ""
        )
        return (
            "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns="
            f"'http://s3.amazonaws.com/doc/2006-03-01/'><EncodingType>url</EncodingType>"
            f"<KeyCount>{len(found)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{rows}</ListBucketResult>"
        ).encode()


class Connection(asyncio.Protocol):
    """One connection; requests one after another."""

    def __init__(self, objects: Objects, latency_s: float) -> None:
        self._objects, self._latency = objects, latency_s
        self._held = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while True:
            if self._head is None:
                end = self._held.find(b"\r\n\r\n")
                if end < 0:
                    return
                self._read_head(bytes(self._held[:end]).decode("latin-1"))
                del self._held[: end + 4]
            if len(self._held) < self._length:
                return
            body = bytes(self._held[: self._length])
            del self._held[: self._length]
            head, self._head = self._head, None
            assert head is not None
            asyncio.get_running_loop().call_later(self._latency, partial(self._answer, head, body))

    def _read_head(self, text: str) -> None:
        first, *lines = text.split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        self._head, self._length = (method, path, headers), int(headers.get("content-length", 0))
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, head: tuple[str, str, dict[str, str]], body: bytes) -> None:
        method, target, headers = head
        status, extra, answer, length = self._do(method, target, headers, body)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {length}", *extra, "", ""]
        self._transport.write("\r\n".join(lines).encode() + answer)

    def _do(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[str, list[str], bytes, int]:
        """Status, additional headers, body, and its length (which a HEAD response states without a
        body)."""
        parts = urlsplit(target)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        known = self._objects.by_key
        if method == "PUT":
            if headers.get("if-none-match") == "*" and key in known:
                error = b"<Error><Code>PreconditionFailed</Code></Error>"
                return "412 Precondition Failed", [], error, len(error)
            if "aws-chunked" in headers.get("content-encoding", ""):
                body = _unchunked(body)
            known[key] = (body, hashlib.md5(body).hexdigest())
            return "200 OK", [f'ETag: "{known[key][1]}"'], b"", 0
        if method == "POST":  # DeleteObjects
            names = re.findall(r"<Key>([^<]*)</Key>", body.decode())
            for name in names:
                known.pop(html.unescape(name), None)
            rows = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            answer = f"<DeleteResult>{rows}</DeleteResult>".encode()
            return "200 OK", ["Content-Type: application/xml"], answer, len(answer)
        if not key:
            page = self._objects.page(parse_qs(parts.query, keep_blank_values=True))
            return "200 OK", ["Content-Type: application/xml"], page, len(page)
        if key not in known:
            error = b"<Error><Code>NoSuchKey</Code></Error>" if method == "GET" else b""
            return "404 Not Found", [], error, len(error)
        data, etag = known[key]
        date = f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S} GMT"
        extra = [f'ETag: "{etag}"', f"Last-Modified: {date}", "Accept-Ranges: bytes"]
        return "200 OK", extra, data if method == "GET" else b"", len(data)


def _unchunked(body: bytes) -> bytes:
    """Decode the payload of ``aws-chunked``, which boto3 sends with a trailing checksum."""
    parts: list[bytes] = []
    start = 0
    while True:
        end = body.index(b"\r\n", start)
        size = int(body[start:end].partition(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        start = end + 2 + size + 2


async def _serve(objects: Objects, latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(objects, latency_s), "127.0.0.1", 0, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Print the port, then serve until terminated."""
    parser = argparse.ArgumentParser("python -m benchmarks.s3_server", description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=5.0)
    parser.add_argument("--made", type=int, default=0, help="objects that are there at the start")
    arguments = parser.parse_args()
    asyncio.run(_serve(Objects(arguments.made, b"x"), arguments.latency_ms / 1000))


if __name__ == "__main__":
    main()
