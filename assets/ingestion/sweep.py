"""Compares all of ``raw/`` in a bucket with the image table, a window at a time.

It finds what no notification reported. Each step lists a bounded number of keys and compares them
with the image table's rows of the same range; the differences become a notice. Without
notifications this is how new objects are found; with them, it runs every few hours.
"""

import json
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from assets.ingestion.image_index import LEDGER, RAW, diff_listing, images_table, newest_rows
from assets.ingestion.refusals import readable_again, refused_keys
from object_store.store import ObjectStore
from resources.arrivals.arrivals import is_noticed, pending_notices, write_notice

WINDOW = 19_999
"""Objects in a window, at least: 20 pages of a listing, about 2 s for S3."""

STEPS = 50
MAX_WINDOW = 299_999
"""Objects in a window, at most: 300 pages, as a sensor's tick has 60 s. Each step also reads the
image table, so a sweep of a big one takes about ``STEPS`` steps.
"""


@dataclass(frozen=True)
class Sweep:
    """Progress of a sweep, kept between two steps.

    Attributes:
        began: when the present or last sweep began; seconds since the epoch.
        after: last key that was compared; ``None`` at the beginning.
        done: whether the sweep is complete.
    """

    began: float = 0.0
    after: str | None = None
    done: bool = True

    @classmethod
    def from_cursor(cls, text: str | None) -> "Sweep":
        """Parse what :meth:`to_cursor` wrote; an invalid cursor begins a new sweep."""
        try:
            return cls(**json.loads(text or "{}"))
        except (TypeError, ValueError):
            return cls()

    def to_cursor(self) -> str:
        """Serialize it for a sensor's cursor."""
        return json.dumps(asdict(self))

    def is_due(self, now: float, every_s: float) -> bool:
        """Whether a step is due: the sweep is incomplete, older than ``every_s``, or in the future."""
        return not self.done or not 0 <= now - self.began < every_s


def sweep_step(store: ObjectStore, sweep: Sweep, now: float) -> Sweep:
    """Compare one window, and write a notice of the differences and of what became readable.

    Args:
        store: object store of the project.
        sweep: the progress so far; a complete one begins again.
        now: seconds since the epoch.

    Returns:
        The progress after this window.

    Raises:
        StoreError: see ``ObjectStore``; notices of earlier windows are kept.
    """
    if sweep.done:
        sweep = Sweep(began=now, done=False)
    indexed = images_table(store).read(LEDGER)
    limit = max(WINDOW, min(indexed.num_rows // STEPS, MAX_WINDOW))
    listed, done = store.window(RAW, sweep.after, limit)
    end = None if done else listed["key"][-1].as_py()
    known = newest_rows(_between(indexed, sweep.after, end))
    diff = diff_listing(listed, known)
    again = readable_again(store, refused_keys(known))
    token = "\0".join([diff.token, *again])
    if (diff or again) and not is_noticed(pending_notices(store), token):
        keys = [*diff.new["key"].to_pylist(), *diff.gone.to_pylist(), *again]
        write_notice(store, keys, source="listing", token=token)
    return replace(sweep, after=end, done=done)


def _between(indexed: pa.Table, after: str | None, end: str | None) -> pa.Table:
    """Filter rows to keys after ``after``, up to ``end``; Arrow compares bytes, as S3 sorts."""
    if after is not None:
        indexed = indexed.filter(pc.greater(indexed["key"], after))
    if end is not None:
        indexed = indexed.filter(pc.less_equal(indexed["key"], end))
    return indexed
