"""Indexing: from files under ``raw/`` to rows of the image table."""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.photos import MISSING, NAME, copy_photos
from benchmarks.processes import cpu_seconds
from benchmarks.result import Measurement, Result

if TYPE_CHECKING:
    from object_store.store import ObjectStore

ROUNDS = 3
LIMIT = 1000.0


def measure(scratch: Path) -> Result:
    """Index the photos and loop over them with Pillow, in turn; compare medians."""
    from object_store.store import ObjectStore

    store = ObjectStore(url=(scratch / "store").as_uri())
    store.ensure()
    photos = scratch / "store" / "raw" / "photos"
    count = copy_photos(photos)
    if not count:
        return Result(skipped=MISSING)
    files = sorted(photos.rglob("*.jpg"))
    pillow_loop(files[:50])  # warms up imports and page cache
    ours, peers = [], []
    for number in range(ROUNDS):
        peers.append(_timed(partial(pillow_loop, files)))
        ours.append(_timed(partial(index, store, f"images{number}")))
    rate, peer = median(count / wall for wall, _ in ours), median(count / wall for wall, _ in peers)
    per_cpu = median(count / cpu for _, cpu in ours)
    return Result(
        measurements=[
            Measurement(
                what="listing, reading, sha256, decoding, perceptual hash, table",
                value=rate,
                unit="images/s",
                bound="at least",
                limit=LIMIT,
                peer=peer,
            ),
            Measurement(
                what="the same by CPU time of one core (load of others does not count)",
                value=per_cpu,
                unit="images/CPU s",
                bound="at least",
                peer=median(count / cpu for _, cpu in peers),
            ),
        ],
        peer="a single-threaded loop over the same files: sha256, Image.open, load, "
        "imagehash.phash; no store, no orientation, no table",
        notes=[
            f"{count} JPEG files of {NAME} (150 × 150), {ROUNDS} rounds in turn, medians; files in "
            "the page cache.",
        ],
    )


def index(store: "ObjectStore", table_name: str) -> None:
    """Index all objects, as ``raw_images`` does when all are new."""
    from assets.ingestion.image_index import IMAGES_SCHEMA, RAW, diff_listing, index_objects
    from assets.policies import IngestionPolicy
    from object_store.contents.tables import Table

    policy = IngestionPolicy()
    table = Table(store, table_name, IMAGES_SCHEMA)
    diff = diff_listing(store.list_table(RAW), table.read())
    index_objects(
        store,
        table,
        diff,
        max_pixels=policy.max_pixels,
        max_bytes=int(policy.max_file_mb * 1e6),
    )
    indexed = table.read(["status"])["status"].to_pylist()
    if indexed.count("ok") != diff.new.num_rows:
        raise RuntimeError(f"{indexed.count('ok')} of {diff.new.num_rows} photos were indexed")


def pillow_loop(files: list[Path]) -> None:
    """The peer: a script of a dozen lines."""
    import imagehash
    from PIL import Image

    for path in files:
        hashlib.sha256(path.read_bytes()).hexdigest()
        with Image.open(path) as image:
            image.load()
            imagehash.phash(image)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of ``work``."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - wall, cpu_seconds() - cpu
