"""A store's address, its adapter, and the conversion of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import dagster as dg
from obstore.exceptions import BaseError
from pydantic import PrivateAttr, field_validator

from resources.store.errors import Act, Refusal, StoreMissing, as_store_error
from resources.store.folder import Folder, Memory, Place
from resources.store.s3 import S3Bucket
from resources.store.s3_access import shared_access


class StoreAddress(dg.ConfigurableResource):
    """A folder (``file:///absolute/path``), a bucket (``s3://bucket/prefix``) or ``memory:///``."""

    url: str
    region: str = ""
    """Of the bucket; "" for what the environment or the profile says."""
    profile_name: str = ""
    """A profile of ``~/.aws/config``; "" for the usual search: environment, container, profile."""
    kms_key_arn: str = ""
    """Encrypts new objects of a bucket; "" for the bucket's default encryption."""
    options: dict[str, str] = {}
    """More options of obstore's S3Store. Of an ``endpoint``, boto3 is told, too."""

    _place: Place | None = PrivateAttr(default=None)

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
            raise ValueError(f"store URL {url!r}: a folder is written file:///absolute/path")
        if parts.scheme not in ("file", "s3", "memory"):
            raise ValueError(f"store URL {url!r}: use file:///absolute/path or s3://bucket/prefix")
        if parts.scheme == "s3" and (not parts.netloc or any(char in url for char in "?#%")):
            raise ValueError(f"store URL {url!r}: s3://bucket/prefix, without any of ? # %")
        return url.rstrip("/") if parts.path.strip("/") else url

    @property
    def root(self) -> Path | None:
        """The folder, if the store is one."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def place(self) -> Place:
        """Where the objects lie, found at first use; nothing is asked of it yet."""
        if self._place is None:
            if self.root is not None:
                self._place = Folder(self.root)
            elif self.is_bucket:
                access = shared_access(
                    self.url,
                    region=self.region,
                    profile_name=self.profile_name,
                    kms_key_arn=self.kms_key_arn,
                    options=self.options,
                )
                self._place = S3Bucket(access)
            else:
                self._place = Memory()
        return self._place

    @property
    def is_bucket(self) -> bool:
        """Whether each request takes milliseconds, and costs."""
        return urlsplit(self.url).scheme == "s3"

    def uri(self, key: str) -> str:
        """Return the object's address, for people and links."""
        path = self.local_path(key)
        return path.as_uri() if path else f"{self.url.rstrip('/')}/{key}"

    def local_path(self, key: str) -> Path | None:
        """Return the object's file, for reading only; ``None`` if the store is no folder."""
        return self.root / key if self.root is not None else None

    @contextmanager
    def _translated(self, key: str, act: Act = "read") -> Iterator[None]:
        """Convert errors of obstore, boto3 and the system to StoreError with a remedy."""
        try:
            yield
        except (BaseError, OSError, Refusal) as error:
            if isinstance(error, FileNotFoundError) and self.root and not self.root.is_dir():
                gone = f"{self.root} is not there any more: is the disk mounted?"
                raise StoreMissing(gone) from error
            raise as_store_error(error, key, self.url, self.uri(key), act=act) from error
