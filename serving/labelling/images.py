"""Where the image of a task lies in the store. Nothing that a task names is fetched from elsewhere."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from errors.base import ImgclfError
from serving.store import BackingStore, TooBig

RAW = "raw/"
_MAX_IMAGE_BYTES = 100_000_000
"""Bigger files are not ingested either, unless the user says so."""


class NoImage(ImgclfError, ValueError):  # noqa: N818 - said of a task
    """A task's image cannot be had; the message says why, for people."""


def image_key(data: Mapping[str, Any], store_url: str) -> str:
    """The key of a task's image.

    Args:
        data: the task's ``data``; ``uri`` is a key below ``raw/``, or its address in the store.
        store_url: the store's address.

    Raises:
        NoImage: the task names none, or one that is not in this store.
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
    """The image file of a task, if it is the one that the task was made for.

    Args:
        store: where it lies.
        data: the task's ``data``.
        before_big: awaited before a big file is read.

    Raises:
        NoImage: it is not there, or another one is.
    """
    key = image_key(data, store.url)
    try:
        image = await store.fetch(key, _MAX_IMAGE_BYTES, before_big)
    except FileNotFoundError:
        raise NoImage(f"the store has no {key} any more") from None
    except TooBig as error:
        raise NoImage(f"{error}, too big to be decoded here") from None
    except Exception as error:  # whatever obstore raises when nobody answers
        raise NoImage(f"{key} cannot be read: {(str(error).splitlines() or [''])[0]}") from error
    if hashlib.sha256(image).hexdigest() != data.get("sample_id"):
        raise NoImage(f"{key} holds other bytes than the task's image (data.sample_id)")
    return image


def known_key(store: BackingStore, sha256: str) -> str | None:
    """Where the store has an image, as far as the image table knows.

    Every part of the table is looked at, also those that a compaction made redundant: what an old
    one says is checked by reading the object.
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
        except (pa.ArrowException, OSError, KeyError):  # damaged: the line makes it again
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
