"""Since when annotators see the predictions of which model: Label Studio does not record it.

``queue/shown/<ms>-<project>-<version>`` is written by the first run of the queue that finds the
version shown; it was set before. The newest record counts.
"""

import re
from datetime import UTC, datetime

from assets.queue.ledger import QUEUE
from labelling.labels.snapshots import epoch_ms
from object_store.store import ObjectStore

SHOWN = f"{QUEUE}shown/"
_NAME = re.compile(r"\d{13}-.+")


def shown_since(store: ObjectStore, project: int, version: str) -> datetime:
    """Return the time since when, at the latest, the project shows ``version``.

    Args:
        store: has the records; a new one is written if the newest is about another version.
        project: number of the project in Label Studio.
        version: model version that the project shows now.
    """
    names = (info.key.removeprefix(SHOWN) for info in store.list(SHOWN))
    newest = max((name for name in names if _NAME.fullmatch(name)), default="")
    moment, _, shown = newest.partition("-")
    if shown == f"{project}-{version}":
        return datetime.fromtimestamp(int(moment) / 1000, UTC)
    now = datetime.now(UTC)
    key = f"{SHOWN}{epoch_ms(now):013d}-{project}-{version}"
    store.create(key, now.isoformat(timespec="milliseconds").encode())
    return now
