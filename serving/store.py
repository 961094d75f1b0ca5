"""The store as the servers use it, through obstore: objects are read and created, never changed."""

import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore, from_url

from errors.base import ImgclfError
from object_store.durable import create_file
from serving.deployments import DeploymentRecord, Stage, parse_record, records_prefix

_CHUNK = 8 * 1024**2
_KEYS_A_PAGE = 1000
_BIG_BYTES = 16_000_000

_EXPLICIT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
"""Variables with credentials that obstore reads itself; it does not read ``~/.aws``."""


class TooBig(ImgclfError, ValueError):  # noqa: N818 - a state
    """An object has more bytes than the caller allows."""


class BackingStore:
    """The store at ``url`` (``file:///…`` or ``s3://…``).

    S3 takes its credentials from AWS_* variables or else from boto3. Every method raises obstore's
    exceptions when the store does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(url)
        self._root = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._store = _bucket(url) if url.startswith("s3://") else from_url(url)

    @property
    def is_bucket(self) -> bool:
        """Whether the store is a bucket, where each request takes milliseconds and costs money."""
        return self.url.startswith("s3://")

    def keys_after(self, folder: str, after: str | None = None) -> Iterator[str]:
        """Yield the keys below ``folder`` that sort after ``after``; only a bucket's are sorted."""
        for page in obstore.list(self._store, folder, offset=after, chunk_size=_KEYS_A_PAGE):
            yield from (item["path"] for item in page)

    def read(self, key: str) -> bytes:
        """Return the object's bytes.

        Raises:
            FileNotFoundError: there is no such key.
        """
        return bytes(obstore.get(self._store, key).bytes())

    async def fetch(
        self,
        key: str,
        max_bytes: int,
        before_big: Callable[[], Awaitable[object]] | None = None,
    ) -> bytes:
        """Return the object's bytes, asynchronously.

        Args:
            key: key of the object.
            max_bytes: most bytes of the object.
            before_big: awaited before an object of more than 16 MB is read.

        Raises:
            FileNotFoundError: there is no such key.
            TooBig: it has more than ``max_bytes``; it is not read.
        """
        found = await obstore.get_async(self._store, key)
        if found.meta["size"] > max_bytes:
            raise TooBig(f"{key} has {found.meta['size'] / 1e6:.0f} MB")
        if before_big is not None and found.meta["size"] > _BIG_BYTES:
            await before_big()
        return bytes(await found.bytes_async())

    def create(self, key: str, data: bytes) -> bool:
        """Create an object atomically.

        Returns:
            True if this call wrote it, False if the key exists.
        """
        if self._root is not None:  # durable when it returns
            return create_file(self._root, key, data, durable=True)
        try:
            obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def download(self, key: str, path: Path) -> None:
        """Write an object to a local file.

        Raises:
            FileNotFoundError: there is no such key.
        """
        with path.open("wb") as file:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                file.write(chunk)


class DeploymentStore(BackingStore):
    """Deployment records and models in a store."""

    def keys(self, stage: Stage, after: str | None = None) -> list[str]:
        """Return the keys of the stage's records, oldest first; only those after ``after``, if given."""
        found = self.keys_after(records_prefix(stage), after)
        return sorted(key for key in found if key.endswith(".json"))

    def record(self, key: str) -> DeploymentRecord:
        """Read the deployment record at ``key``.

        Raises:
            FileNotFoundError: there is no such key.
            RecordError: it is no deployment record.
        """
        return parse_record(self.read(key), key)


def _bucket(url: str) -> ObjectStore:
    """Open a bucket; a connection may take 5 s."""
    endpoints = [os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")]
    client: Any = {
        "connect_timeout": timedelta(seconds=5),
        "allow_http": any(endpoint.startswith("http://") for endpoint in endpoints),
    }
    return from_url(url, client_options=client, credential_provider=_credentials())


def _credentials() -> Any:
    """Return boto3's credentials for obstore; ``None`` if obstore finds them itself."""
    if any(os.environ.get(name) for name in _EXPLICIT):
        return None
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider(ttl=timedelta(minutes=5))
