"""The store's adapter for an S3 bucket.

obstore transfers the bytes. boto3 does what obstore cannot, and is loaded only for that:

- **listing**: obstore fails at the first key that it cannot represent (``a//b``, a control
  character), so that one such object would hide all others, and lists the console's folder marker
  ``a/`` as an object ``a`` that does not exist;
- **create-only writes of big files** (``object_store.s3_multipart``) and copies;
- **credentials of a profile** (``object_store.s3_access``).
"""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore as AnyStore

from object_store.errors import Refusal
from object_store.rows import Flaws, ObjectInfo, Row, sound
from object_store.s3_access import S3Access, translated_errors
from object_store.s3_multipart import PART_BYTES, upload_in_parts

WRITE_MARK = "imgclf-write"
"""Object metadata: a random token of the write. If the connection is lost after S3 has written, the
retry fails because the key is taken; the token shows that this writer took it."""

SHA256 = "imgclf-sha256"
"""Object metadata: SHA-256 of the bytes. With KMS encryption an etag is no checksum of them."""

_CONFLICTS = 3
_CONFLICT = "ConditionalRequestConflict"
"""S3's 409 to one of two concurrent writers; neither may have written yet. obstore reports it as a
taken key. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""


class S3Bucket:
    """A bucket as a ``object_store.folder.Place``; raises obstore's errors and Refusal."""

    ordered = True

    def __init__(self, access: S3Access) -> None:
        self.access = access

    @property
    def store(self) -> AnyStore:
        """obstore's store of it."""
        return self.access.store

    # --- write -----------------------------------------------------------------------------

    def create(self, key: str, data: bytes | Path, *, durable: bool = False) -> str | None:
        """Write with one conditional PUT, or a multipart upload for more than ``PART_BYTES``.

        Args:
            key: of the object.
            data: the bytes, or a file with them.
            durable: not used: what S3 has answered is durable.

        Returns:
            The etag of what this call wrote, "" if it is unknown; ``None`` if the key was taken.
        """
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        mark = uuid.uuid4().hex
        if size > PART_BYTES:
            return "" if self._create_in_parts(key, data, size, mark) else None
        body = data.read_bytes() if isinstance(data, Path) else data
        metadata = {WRITE_MARK: mark, SHA256: hashlib.sha256(body).hexdigest()}
        for _ in range(_CONFLICTS):
            try:
                put = obstore.put(self.store, key, body, mode="create", attributes=metadata)
            except AlreadyExistsError:
                found = self._mark(key)
                if found is not None:
                    return "" if found == mark else None
            else:
                return put["e_tag"] or ""
        raise Refusal(_CONFLICT, f"writes of {key} by others collide all the time")

    def _create_in_parts(self, key: str, data: bytes | Path, size: int, mark: str) -> bool:
        for attempt in range(_CONFLICTS):
            if self._mark(key) is not None:  # avoids sending gigabytes in vain
                return False
            try:
                upload_in_parts(self.access, key, data, size, {WRITE_MARK: mark})
            except Refusal as refusal:
                found = self._mark(key)
                if found == mark:
                    return True
                if refusal.code == "PreconditionFailed":
                    return False
                if refusal.code != _CONFLICT or attempt == _CONFLICTS - 1:
                    raise
            else:
                return True
        return False

    def copy(self, source: str, target: str) -> bool:
        """Copy inside S3, up to 5 GB.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
        """
        mark = uuid.uuid4().hex
        if self._mark(target) is not None:  # S3-compatible servers may not know the condition
            return False
        place = {"Bucket": self.access.bucket, "Key": self.access.full(source)}
        for attempt in range(_CONFLICTS):
            try:
                with translated_errors():
                    self.access.client.copy_object(
                        Bucket=self.access.bucket,
                        Key=self.access.full(target),
                        CopySource=place,
                        IfNoneMatch="*",
                        Metadata={WRITE_MARK: mark},
                        MetadataDirective="REPLACE",
                        **self.access.encryption,
                    )
            except Refusal as refusal:
                if refusal.code == "PreconditionFailed":
                    return self._mark(target) == mark
                if refusal.code != _CONFLICT or attempt == _CONFLICTS - 1:
                    raise
            else:
                break
        return True

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 in the metadata; ``None`` for other writers' objects and big files."""
        return self._metadata(key).get(SHA256)

    def _mark(self, key: str) -> str | None:
        """Return the object's write token; "" if it has none, ``None`` if there is no object."""
        try:
            return self._metadata(key).get(WRITE_MARK, "")
        except FileNotFoundError:
            return None

    def _metadata(self, key: str) -> dict[str, str]:
        attributes = obstore.get(self.store, key, options={"head": True}).attributes
        return {str(name): str(value) for name, value in attributes.items()}

    # --- read ------------------------------------------------------------------------------

    def head(self, key: str) -> ObjectInfo:
        """Return size, etag and time; after a refusal a GET is sent, whose answer has a reason."""
        try:
            meta = obstore.head(self.store, key)
        except BaseError:
            obstore.get(self.store, key, options={"range": (0, 1)})
            raise
        return ObjectInfo(key, meta["size"], meta["e_tag"] or "", meta["last_modified"])

    def chunks(self, key: str) -> Iterator[bytes | obstore.Bytes]:
        """Yield the bytes in ranges, all of one version; a lost connection costs one range."""
        meta = obstore.head(self.store, key)
        for start in range(0, meta["size"], PART_BYTES):
            end = min(start + PART_BYTES, meta["size"])
            options: Any = {"range": (start, end), "if_match": meta["e_tag"]}
            yield obstore.get(self.store, key, options=options).bytes()

    def rows(
        self, prefix: str, start_after: str | None, flaws: Flaws | None = None, stem: str = ""
    ) -> Iterator[Row]:
        """Yield a row for each object in key order, from pages of 1,000.

        Args:
            prefix: whole path segments without a slash at the end; "" for everything.
            start_after: only keys greater than this one; ``None``: all.
            flaws: names that are left out, and why, are appended to it.
            stem: only objects whose names below ``prefix`` begin with it.
        """
        begin = f"{prefix}/{stem}" if prefix else stem
        return sound(self._every_row(begin, start_after), flaws)

    def _every_row(self, begin: str, start_after: str | None) -> Iterator[Row]:
        full, client = self.access.full, self.access.client
        request = {"Bucket": self.access.bucket, "Prefix": full(begin)}
        if start_after is not None:
            request["StartAfter"] = full(start_after)
        cut = len(full(""))
        while True:
            with translated_errors():
                page = client.list_objects_v2(**request)
            for item in page.get("Contents", ()):
                modified = datetime.fromisoformat(item["LastModified"]).timestamp()
                yield item["Key"][cut:], item["Size"], item["ETag"], round(modified * 1e6)
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
