"""moto's S3 from inside process A: no HTTP, not in the call log, untouched by faults."""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.testbed.role_sessions import denial
from tests.testbed.state import ACCOUNT

acting: ContextVar[str] = ContextVar("acting", default="")
"""ARN of the role in whose name this thread reads and writes; "" may do everything."""


class DownloadFailed(Exception):
    """What SageMaker says of an input that it cannot read."""


def _backend() -> Any:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"]


def split(url: str) -> tuple[str, str]:
    """Bucket and key, or prefix, of an ``s3://`` URL."""
    parts = urlsplit(url)
    return parts.netloc, parts.path.lstrip("/")


def get(url: str) -> bytes:
    """An object.

    Raises:
        DownloadFailed: there is no such bucket or object, or the role may not read it.
    """
    bucket, key = split(url)
    _require("s3:GetObject", bucket, key)
    try:
        found = _backend().get_object(bucket, key)
    except Exception as error:
        raise DownloadFailed(
            f"NoSuchBucket (404): The specified bucket does not exist: {bucket}"
        ) from error
    if found is None:
        raise DownloadFailed(f"NoSuchKey (404): The specified key does not exist. {url}")
    return found.value


def put(url: str, data: bytes) -> None:
    """Write an object; its notifications are sent.

    Raises:
        DownloadFailed: there is no such bucket, or the role may not write there.
    """
    bucket, key = split(url)
    _require("s3:PutObject", bucket, key)
    try:
        _backend().put_object(bucket, key, data)
    except Exception as error:
        raise DownloadFailed(f"{type(error).__name__} writing {url}: {error}") from error


def _require(action: str, bucket: str, key: str) -> None:
    if denied := denial(acting.get(), action, f"arn:aws:s3:::{bucket}/{key}"):
        raise DownloadFailed(f"AccessDenied (403): {denied}")


def keys(url: str) -> list[str]:
    """Keys that begin with the URL's prefix, sorted.

    Raises:
        DownloadFailed: there is no such bucket.
    """
    from moto.s3.models import FakeDeleteMarker

    bucket, prefix = split(url)
    try:
        found = _backend().get_bucket(bucket)
    except Exception as error:
        raise DownloadFailed(
            f"NoSuchBucket (404): The specified bucket does not exist: {bucket}"
        ) from error
    names: list[str] = []
    for _ in range(100):
        try:
            names = [
                key
                for key in found.keys
                if key.startswith(prefix) and not isinstance(found.keys[key], FakeDeleteMarker)
            ]
            break
        except (RuntimeError, KeyError):  # written meanwhile
            continue
    return sorted(names)


def source_objects(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(relative path, URL) of each object of an S3DataSource or a ProcessingS3Input.

    Raises:
        DownloadFailed: the bucket or the manifest cannot be read, or nothing is there.
    """
    url, kind = source["S3Uri"], source["S3DataType"]
    if kind == "ManifestFile":
        yield from _manifest(url)
        return
    if kind != "S3Prefix":
        raise DownloadFailed(f"the stand-in does not read S3DataType {kind}")
    bucket, prefix = split(url)
    names = [key for key in keys(url) if not key.endswith("/")]
    if not names:
        raise DownloadFailed(f"No S3 objects found under S3 URL {url}")
    folder = prefix if prefix.endswith("/") else prefix.rpartition("/")[0] + "/"
    for key in names:
        if not prefix.endswith("/") and key.startswith(f"{prefix}/"):
            relative = key[len(prefix) + 1 :]
        else:
            relative = key[len(folder) :] if folder != "/" else key
        yield relative, f"s3://{bucket}/{key}"


def _manifest(url: str) -> Iterator[tuple[str, str]]:
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html"""
    try:
        entries = json.loads(get(url))
        prefix = entries[0]["prefix"]
        names = entries[1:]
    except (ValueError, LookupError, TypeError) as error:
        raise DownloadFailed(
            f"the manifest {url} is not [{{prefix: …}}, key, …]: {error!r}"
        ) from error
    wrong = [name for name in names if not isinstance(name, str) or name.startswith("/")]
    if wrong or not str(prefix).startswith("s3://"):
        raise DownloadFailed(f"the manifest {url} has wrong entries: {wrong[:3] or prefix}")
    for name in names:
        yield name, prefix + name


def download(objects: Iterable[tuple[str, str]], folder: Path) -> None:
    """Write objects below a folder.

    Raises:
        DownloadFailed: one is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for relative, url in objects:
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(get(url))


def files(folder: Path) -> list[Path]:
    """All files below a folder, sorted; none if there is no folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def archive(folders: Iterable[Path]) -> bytes:
    """A ``tar.gz`` of what is in the folders (of several hosts: the first one's file wins)."""
    members: dict[str, Path] = {}
    for folder in folders:
        for path in files(folder):
            members.setdefault(path.relative_to(folder).as_posix(), path)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, path in sorted(members.items()):
            tar.add(path, name)
    return buffer.getvalue()


def upload(folder: Path, url: str) -> None:
    """Write each file of a folder below a URL."""
    for path in files(folder):
        put(f"{url.rstrip('/')}/{path.relative_to(folder).as_posix()}", path.read_bytes())
