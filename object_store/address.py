"""A store's address, its adapter, and the conversion of its errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError

from object_store.errors import Act, Refusal, StoreMissing, as_store_error
from object_store.folder import Folder, Memory, Place


@dataclass(frozen=True)
class StoreAddress:
    """A folder (``file:///absolute/path``), a bucket (``s3://bucket/prefix``) or ``memory:///``.

    Attributes:
        url: the address, without a slash at its end.
        region: of the bucket; "" for what the environment or the profile says.
        profile_name: a profile of ``~/.aws/config``; "" for the usual search: environment,
            container, profile.
        kms_key_arn: encrypts new objects of a bucket; "" for the bucket's default encryption.
        options: more options of obstore's S3Store; boto3 uses an ``endpoint``, too.

    Raises:
        ValueError: the URL is of no such form.
    """

    url: str
    region: str = ""
    profile_name: str = ""
    kms_key_arn: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", checked_url(self.url))

    @property
    def root(self) -> Path | None:
        """The folder, if the store is one."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @cached_property
    def place(self) -> Place:
        """Where the objects lie, found at first use; nothing is asked of it yet."""
        if self.root is not None:
            return Folder(self.root)
        if not self.is_bucket:
            return Memory()
        from object_store.s3 import S3Bucket
        from object_store.s3_access import shared_access

        access = shared_access(
            self.url,
            region=self.region,
            profile_name=self.profile_name,
            kms_key_arn=self.kms_key_arn,
            options=self.options,
        )
        return S3Bucket(access)

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


def checked_url(url: str) -> str:
    """Return a store's URL without a slash at its end.

    Raises:
        ValueError: it is neither of a folder nor of a bucket.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError(f"store URL {url!r}: a folder is written file:///absolute/path")
    if parts.scheme not in ("file", "s3", "memory"):
        raise ValueError(f"store URL {url!r}: use file:///absolute/path or s3://bucket/prefix")
    if parts.scheme == "s3" and (not parts.netloc or any(char in url for char in "?#%")):
        raise ValueError(f"store URL {url!r}: s3://bucket/prefix, without any of ? # %")
    return url.rstrip("/") if parts.path.strip("/") else url
