"""The images of tasks, read from the project's store only, never from another address."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from errors.base import ImgclfError
from serving.store import BackingStore, TooBig

RAW = "raw/"
_MAX_IMAGE_BYTES = 100_000_000
"""The default limit of ingestion, too."""


class NoImage(ImgclfError, ValueError):  # noqa: N818 - a state
    """A task's image is not available; the message has the reason, for people."""


def image_key(data: Mapping[str, Any], store_url: str) -> str:
    """Return the key of a task's image.

    Args:
        data: the task's ``data``; ``uri`` is a key under ``raw/``, or its URI in the store.
        store_url: URL of the store.

    Raises:
        NoImage: the task has no ``uri``, or one that is not in this store.
    """
    uri = data.get("uri")
    if not isinstance(uri, str) or not uri:
        raise NoImage("it has no data.uri: it was not imported by the asset labelling_queue")
    key = uri.removeprefix(f"{store_url.rstrip('/')}/")
    if not key.startswith(RAW) or any(part in ("", ".", "..") for part in key.split("/")):
        raise NoImage(f"{uri!r} is not below {store_url}/{RAW}")
    return key


async def task_image(
    store: BackingStore,
    data: Mapping[str, Any],
    before_big: Callable[[], Awaitable[object]] | None = None,
) -> bytes:
    """Read the image file of a task and verify its sha256.

    Args:
        store: has the image.
        data: the task's ``data``.
        before_big: awaited before a big file is read.

    Raises:
        NoImage: it is missing, too big, unreadable, or has another sha256.
    """
    key = image_key(data, store.url)
    try:
        image = await store.fetch(key, _MAX_IMAGE_BYTES, before_big)
    except FileNotFoundError:
        raise NoImage(f"the store has no {key} any more") from None
    except TooBig as error:
        raise NoImage(f"{error}, too big to be decoded here") from None
    except Exception as error:  # any error of obstore
        raise NoImage(f"{key} cannot be read: {(str(error).splitlines() or [''])[0]}") from error
    if hashlib.sha256(image).hexdigest() != data.get("sample_id"):
        raise NoImage(f"{key} holds other bytes than the task's image (data.sample_id)")
    return image


def known_key(store: BackingStore, sha256: str) -> str | None:
    """Return the key of an image in the store, by the image table; ``None`` if it has none.

    All parts of the table are read, also those that a compaction replaced; the object's sha256 is
    verified.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for part in store.keys_after("tables/images"):
        if not part.endswith(".parquet"):
            continue
        try:
            file = pq.ParquetFile(pa.BufferReader(store.read(part)))
            rows = file.read(columns=["key", "sha256"], use_threads=False)
        except FileNotFoundError:  # compacted since the listing; the wider part has its rows
            continue
        except (pa.ArrowException, OSError, KeyError):  # damaged: the pipeline repairs it
            continue
        found = rows.filter(pc.equal(rows["sha256"], sha256))["key"].to_pylist()
        for key in found:
            if _holds(store, key, sha256):
                return str(key)
    return None


def _holds(store: BackingStore, key: str, sha256: str) -> bool:
    try:
        return hashlib.sha256(store.read(key)).hexdigest() == sha256
    except FileNotFoundError:
        return False
