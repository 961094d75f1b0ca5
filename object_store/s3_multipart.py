"""Create-only writes of objects of any size: a multipart upload, completed with ``If-None-Match``.

obstore's conditional put is one request with the whole object in memory.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from object_store.s3_access import S3Access, translated_errors

PART_BYTES = 16 * 2**20
"""Size of a part; parts are larger if there would be more than :data:`MAX_PARTS`."""

MAX_PARTS = 10_000
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""

_AT_ONCE = 4


def upload_in_parts(
    access: S3Access, key: str, data: bytes | Path, size: int, metadata: dict[str, str]
) -> None:
    """Write an object with a multipart upload, which is aborted if it fails.

    Args:
        access: of the bucket.
        key: in the store.
        data: the bytes, or a file, of which four parts are in memory at a time.
        size: of the object in bytes.
        metadata: of the object.

    Raises:
        Refusal: ``PreconditionFailed`` if the key is taken.
    """
    client = access.client
    place = {"Bucket": access.bucket, "Key": access.full(key)}
    length = max(PART_BYTES, -(-size // MAX_PARTS))
    with translated_errors():
        created = client.create_multipart_upload(**place, Metadata=metadata, **access.encryption)
    place["UploadId"] = created["UploadId"]

    def send(number: int) -> dict[str, Any]:
        body = _piece(data, number * length, min(length, size - number * length))
        with translated_errors():
            sent = client.upload_part(**place, PartNumber=number + 1, Body=body)
        sums = {name: value for name, value in sent.items() if name.startswith("ChecksumC")}
        return {"PartNumber": number + 1, "ETag": sent["ETag"], **sums}

    try:
        parts = _each(send, -(-size // length))
        with translated_errors():
            client.complete_multipart_upload(
                **place, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
    except BaseException:
        with suppress(Exception):  # if that fails too, the bucket's lifecycle rule deletes it
            client.abort_multipart_upload(**place)
        raise


def _piece(data: bytes | Path, start: int, length: int) -> bytes:
    if isinstance(data, bytes):
        return data[start : start + length]
    with data.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _each(send: Callable[[int], dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Call ``send`` with every number, several in parallel; stops at the first failure."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="upload") as pool:
        try:
            return list(pool.map(send, range(count)))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
