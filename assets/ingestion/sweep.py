"""Looking over all of ``raw/`` in a bucket, a window at a time.

It finds what no notification told of. Each step lists a bounded number of keys and compares them
with the image table's rows of the same range; what differs becomes a notice. Where nobody tells
of arrivals, this is how they are found; where somebody does, it is done every few hours.
"""

import json
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from assets.ingestion.image_index import LEDGER, RAW, diff_listing, images_table, newest_rows
from assets.ingestion.refusals import readable_again, refused_keys
from resources.arrivals.arrivals import is_noticed, pending_notices, write_notice
from resources.store.object_store import ObjectStore

WINDOW = 19_999
"""Objects that a step looks at, at least: 20 pages of a listing, some 2 s of a real bucket."""

STEPS = 50
MAX_WINDOW = 299_999
"""A step reads the image table, too: so a sweep of a big one takes not many more steps than this,
each of at most 300 pages. A sensor's tick has 60 s."""


@dataclass(frozen=True)
class Sweep:
    """How far it has come: what is kept between two steps.

    Attributes:
        began: when the present sweep, or the last one, began; seconds since the epoch.
        after: the last key that was looked at; None at the beginning.
        done: whether it came to the end.
    """

    began: float = 0.0
    after: str | None = None
    done: bool = True

    @classmethod
    def from_cursor(cls, text: str | None) -> "Sweep":
        """What :meth:`to_cursor` wrote; a cursor that is lost or foreign begins a new sweep."""
        try:
            return cls(**json.loads(text or "{}"))
        except (TypeError, ValueError):
            return cls()

    def to_cursor(self) -> str:
        """For a sensor's cursor."""
        return json.dumps(asdict(self))

    def is_due(self, now: float, every_s: float) -> bool:
        """Whether there is something to do: a clock that went back makes it so, too."""
        return not self.done or not 0 <= now - self.began < every_s


def sweep_step(store: ObjectStore, sweep: Sweep, now: float) -> Sweep:
    """Look at one window and write a notice of what differs there, and of what can be read again.

    Raises:
        StoreError: see ``ObjectStore``; what was found so far is noticed.
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
    """Rows of the keys behind ``after``, up to ``end``; Arrow compares as S3 sorts: by bytes."""
    if after is not None:
        indexed = indexed.filter(pc.greater(indexed["key"], after))
    if end is not None:
        indexed = indexed.filter(pc.less_equal(indexed["key"], end))
    return indexed
