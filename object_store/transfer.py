"""Transfers of many objects in parallel, since each request to a bucket takes milliseconds.

With threads, not with obstore's async functions: threads were as fast in a measurement and took half
the CPU time, because obstore releases Python's lock.
"""

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from object_store.errors import KeyMissing, ObjectRefused
from object_store.rows import ObjectInfo
from object_store.store import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

Item = TypeVar("Item")
Done = TypeVar("Done")
Progress = Callable[[int, int], None]
"""Called with the numbers done and in all."""

HELD_BYTES = 256 * 2**20
"""Most bytes that are read but not yet written, which bounds memory."""

_MD5_ETAG = re.compile(r'"[0-9a-f]{32}"')


def workers(store: ObjectStore) -> int:
    """Return a good number of parallel requests."""
    return 64 if store.is_bucket else min(8, 2 * (os.cpu_count() or 1))


def at_once(
    work: Callable[[Item], Done],
    items: Iterable[Item],
    *,
    threads: int,
    weigh: Callable[[Item], int] = lambda item: 0,
    ahead: int = 4,
) -> Iterator[Done]:
    """Call ``work`` with every item in parallel; yields the results in order, in bounded memory.

    The first failure is raised: calls in progress are finished, the others are not begun.

    Args:
        work: called in threads.
        items: read as needed.
        threads: number of threads.
        weigh: returns the bytes of memory that an item takes until its result is yielded.
        ahead: items per thread that may be submitted or finished ahead of the caller.
    """
    pending: deque[tuple[Future[Done], int]] = deque()
    held = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="transfer") as pool:
        try:
            for item in items:
                pending.append((pool.submit(work, item), weigh(item)))
                held += pending[-1][1]
                while len(pending) > ahead * threads or held > HELD_BYTES:
                    done, weight = pending.popleft()
                    held -= weight
                    yield done.result()
            while pending:
                yield pending.popleft()[0].result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def get_many(store: ObjectStore, keys: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield keys and their objects' bytes in order; ``None`` where there is no object.

    About 100 objects are read ahead from a bucket, none from a folder.
    """
    if not store.is_bucket:
        yield from ((key, _get(store, key)) for key in keys)
        return
    yield from at_once(lambda key: (key, _get(store, key)), keys, threads=32, ahead=3)


def head_many(store: ObjectStore, keys: Iterable[str]) -> "pa.Table":
    """List those of ``keys`` that have an object, as a table of ``LISTING_SCHEMA``.

    An object whose metadata cannot be read has size 0, no etag and the time 1970.
    """

    def look(key: str) -> ObjectInfo | None:
        try:
            return store.head(key)
        except KeyMissing:
            return None
        except ObjectRefused:
            return ObjectInfo(key, 0, "", datetime.fromtimestamp(0, UTC))

    import pyarrow as pa

    from object_store.listing import LISTING_SCHEMA

    found = [info for info in at_once(look, keys, threads=workers(store)) if info is not None]
    columns = [
        [info.key for info in found],
        [info.size for info in found],
        [info.etag for info in found],
        [info.last_modified for info in found],
    ]
    arrays = [
        pa.array(column, field.type) for column, field in zip(columns, LISTING_SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=LISTING_SCHEMA).sort_by("key")


def holds(store: ObjectStore, key: str, data: bytes | Path, info: ObjectInfo | None = None) -> bool:
    """Whether an object has exactly these bytes.

    A bucket is not asked if the etag is their MD5 sum, and asked only for metadata if it has the
    SHA-256 that this program writes.

    Args:
        store: has the object.
        key: of the object.
        data: the bytes, or a file with them.
        info: of the object, if it is known.
    """
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    info = info or store.head(key)
    if info.size != size:
        return False
    if isinstance(data, Path):
        if _is_same(store, info, data):
            return True
        data = data.read_bytes()
    elif _is_md5_of(store, info, hashlib.md5(data, usedforsecurity=False).hexdigest()):
        return True
    stated = store.stated_sha256(key)
    return store.get(key) == data if stated is None else stated == hashlib.sha256(data).hexdigest()


def _is_same(store: ObjectStore, info: ObjectInfo, path: Path) -> bool:
    if path.stat().st_size != info.size or not _MD5_ETAG.fullmatch(info.etag):
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return _is_md5_of(store, info, digest.hexdigest())


def _is_md5_of(store: ObjectStore, info: ObjectInfo, digest: str) -> bool:
    return store.is_bucket and info.etag == f'"{digest}"'


def _get(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyMissing:
        return None
