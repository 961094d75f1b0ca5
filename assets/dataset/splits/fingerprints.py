"""Fingerprints of images with similar perceptual hashes: computed on demand and stored.

Most images have no similar hash and need none, so indexing computes no fingerprints.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import cpu_count

import pyarrow as pa
import pyarrow.compute as pc

from object_store.contents.tables import Table
from object_store.errors import KeyMissing, ObjectRefused
from object_store.store import ObjectStore
from object_store.transfer import at_once, workers

FINGERPRINTS_SCHEMA = pa.schema(
    [("sha256", pa.string()), ("version", pa.int32()), ("cells", pa.binary())]
)
CHUNK = 2000
"""Images per appended part: after a kill, at most one part is computed again."""
_MAX_PIXELS = 178_956_970
"""Pillow's own limit: images in the image table have passed the setting already."""


def fingerprints_table(
    store: ObjectStore, on_damage: Callable[[str], object] | None = None
) -> Table:
    """Return the table of fingerprints; ``on_damage``: see :class:`object_store.contents.tables.Table`."""
    return Table(store, "fingerprints", FINGERPRINTS_SCHEMA, on_damage=on_damage)


def fingerprints_of(
    store: ObjectStore,
    keys: Mapping[str, str],
    wanted: Sequence[str],
    say: Callable[[str], object],
) -> dict[str, bytes]:
    """Return fingerprints of images, from the table; missing ones are computed and added to it.

    Args:
        store: has the table and the images.
        keys: image (sha256) to key.
        wanted: images (sha256).
        say: called with each message: progress, damage, images that cannot be read.

    Returns:
        Image (sha256) to fingerprint, of the images that can be read.
    """
    from training.groups.fingerprint import VERSION

    table = fingerprints_table(store, on_damage=say)
    rows = table.read()
    rows = rows.filter(
        pc.and_(
            pc.equal(rows["version"], VERSION),
            pc.is_in(rows["sha256"], value_set=pa.array(wanted, pa.string())),
        )
    )
    found = dict(zip(rows["sha256"].to_pylist(), rows["cells"].to_pylist(), strict=True))
    missing = [sha for sha in wanted if sha not in found and sha in keys]
    if missing:
        say(f"comparing {len(wanted)} images whose perceptual hashes are alike")
    for start in range(0, len(missing), CHUNK):
        new = dict(_computed(store, keys, missing[start : start + CHUNK], say))
        columns = [list(new), [VERSION] * len(new), list(new.values())]
        table.append(pa.table(columns, schema=FINGERPRINTS_SCHEMA))
        found |= new
    table.compact()
    return found


def _computed(
    store: ObjectStore,
    keys: Mapping[str, str],
    images: Sequence[str],
    say: Callable[[str], object],
) -> Iterator[tuple[str, bytes]]:
    def compute(sha: str) -> bytes | str:
        from training.groups.fingerprint import fingerprint
        from training.images.images import ImageRejected, decode

        try:
            data = store.get(keys[sha])
            if hashlib.sha256(data).hexdigest() != sha:
                return "it was rewritten after it was indexed"
            return fingerprint(decode(data, max_pixels=_MAX_PIXELS, fit=FIT))
        except (KeyMissing, ObjectRefused, ImageRejected) as error:
            return str(error)

    threads = workers(store) if store.is_bucket else cpu_count() or 1
    for sha, outcome in zip(images, at_once(compute, images, threads=threads), strict=True):
        if isinstance(outcome, str):
            say(f"{keys[sha]} is compared by its perceptual hash alone: {outcome}")
        else:
            yield sha, outcome


FIT = 32
"""Side in pixels that images are decoded to, as for the perceptual hash."""
