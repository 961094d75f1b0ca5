"""The images of tasks, read from the project's store only, never from another address."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from errors.base import ImgclfError
from object_store.errors import KeyMissing, StoreError
from object_store.store import ObjectStore

RAW = "raw/"
_MAX_IMAGE_BYTES = 100_000_000
"""The default limit of ingestion, too."""
_BIG_BYTES = 16_000_000

log = logging.getLogger("serving")


class NoImage(ImgclfError, ValueError):
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
    store: ObjectStore,
    data: Mapping[str, Any],
    before_big: Callable[[], Awaitable[object]] | None = None,
) -> bytes:
    """Read the image file of a task and verify its sha256.

    Args:
        store: has the image.
        data: the task's ``data``.
        before_big: awaited before a file of more than 16 MB is read.

    Raises:
        NoImage: it is missing, too big, unreadable, or has another sha256.
    """
    key = image_key(data, store.url)

    async def admit(size: int) -> None:
        if size > _MAX_IMAGE_BYTES:
            raise NoImage(f"{key} has {size / 1e6:.0f} MB, too large to be decoded here")
        if before_big is not None and size > _BIG_BYTES:
            await before_big()

    try:
        image = await store.get_async(key, admit)
    except KeyMissing:
        raise NoImage(f"the store has no {key} any more") from None
    except StoreError as error:
        raise NoImage(f"{key} cannot be read: {error}") from error
    if hashlib.sha256(image).hexdigest() != data.get("sample_id"):
        raise NoImage(f"{key} holds other bytes than the task's image (data.sample_id)")
    return image


def known_key(store: ObjectStore, sha256: str) -> str | None:
    """Return the key of an image in the store, by the image table; ``None`` if it has none.

    The object's sha256 is verified. Damaged parts of the table are ignored: the asset raw_images
    repairs them.
    """
    import pyarrow as pa  # late: only corrections need it

    from object_store.contents.tables import Table

    schema = pa.schema([("key", pa.string()), ("sha256", pa.string())])
    images = Table(store, "images", schema, on_damage=log.warning)
    keys = images.find("sha256", sha256, ["key"])["key"].to_pylist()
    return next((str(key) for key in keys if _holds(store, key, sha256)), None)


def _holds(store: ObjectStore, key: str, sha256: str) -> bool:
    try:
        return hashlib.sha256(store.get(key)).hexdigest() == sha256
    except KeyMissing:
        return False
