"""Since when annotators see the predictions of which model: Label Studio does not say it.

``queue/shown/<ms>-<project>-<version>`` is written by the first run of the queue that finds them
shown; whoever set it (the queue, or the set-up after a promotion), it was before. The newest counts.
"""

import re
from datetime import UTC, datetime

from assets.queue.ledger import QUEUE
from labelling.labels.snapshots import epoch_ms
from resources.store.object_store import ObjectStore

SHOWN = f"{QUEUE}shown/"
_NAME = re.compile(r"\d{13}-.+")


def shown_since(store: ObjectStore, project: int, version: str) -> datetime:
    """Since when, at the latest, the project shows ``version``, which it does now.

    Args:
        store: where it is noted, if the last note is about another one.
        project: its number in Label Studio.
        version: of the model.
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
