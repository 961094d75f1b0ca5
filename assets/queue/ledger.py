"""The ledger of the labelling queue: which images were chosen, when, why, and by which model.

``queue/<ms>-<batch>.json`` is written before the import, ``queue/<ms>-<batch>.done`` after it. A
batch without the second was interrupted: it is imported again, which adds what is missing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from assets.line import fingerprint
from labelling.labels.snapshots import epoch_ms
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import read_record
from object_store.store import ObjectStore

QUEUE = "queue/"
_RECORD, _DONE = ".json", ".done"


Warn = Callable[[str], object]


def _silently(_: str) -> None:
    """Default of ``warn``: ignore the message."""


class QueuedImage(BaseModel):
    """An image of a batch.

    Attributes:
        key: where the store has it.
        reason: the reason with the highest score; ``reasons`` has the scores of all.
        priority: 0…1; the lower, the sooner it is labelled.
        suggested: what a user of the predictor says.
        labels: what the model says; empty without one. ``probabilities`` are its highest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    key: str
    reason: str
    reasons: dict[str, float] = {}
    score: float
    why: str
    priority: float
    suggested: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    probabilities: dict[str, float] = {}


class QueueBatch(BaseModel):
    """What was chosen at once.

    Attributes:
        batch: its id, a hash of the images and the model.
        model_version: who predicted; empty: nobody.
        pace: labels per day of the week before.
        wanted: open tasks that this pace asks for; ``open``: those there were.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    batch: str
    created_at: AwareDatetime
    model_version: str = ""
    backbone: str = ""
    pace: float
    wanted: int
    open: int
    images: tuple[QueuedImage, ...]

    @property
    def key(self) -> str:
        """Key of the record; keys sort by time."""
        return f"{QUEUE}{epoch_ms(self.created_at):013d}-{self.batch}{_RECORD}"


def batch_id(images: Collection[str], model_version: str) -> str:
    """Return twelve hex digits: a hash of the images (sha256) and the model."""
    return fingerprint([sorted(images), model_version])


def write_batch(store: ObjectStore, batch: QueueBatch) -> None:
    """Write the record, unless the same batch was recorded in the same millisecond."""
    store.create(batch.key, batch.model_dump_json(indent=1).encode())


def confirm(store: ObjectStore, batch: QueueBatch) -> None:
    """Record that the whole batch is in Label Studio."""
    store.create(_done_key(batch.key), datetime.now(UTC).isoformat().encode())


def unfinished(store: ObjectStore, warn: Warn = _silently) -> list[QueueBatch]:
    """Return the batches whose import was not completed, the oldest first.

    ``warn`` gets a message about each batch that cannot be read; its images are chosen again.
    """
    keys = {info.key for info in store.list(QUEUE)}
    records = sorted(key for key in keys if key.endswith(_RECORD))
    return list(_sound(store, [key for key in records if _done_key(key) not in keys], warn))


def newest_key(store: ObjectStore) -> str:
    """Return the key of the newest batch; empty if there is none."""
    keys = (info.key for info in store.list(QUEUE) if info.key.endswith(_RECORD))
    return max(keys, default="")


def newest_batches(store: ObjectStore, warn: Warn = _silently) -> Iterator[QueueBatch]:
    """Yield all batches, the newest first, each read on demand.

    ``warn`` gets a message about each batch that cannot be read.
    """
    keys = sorted((info.key for info in store.list(QUEUE)), reverse=True)
    return _sound(store, [key for key in keys if key.endswith(_RECORD)], warn)


def _sound(store: ObjectStore, keys: Iterable[str], warn: Warn) -> Iterator[QueueBatch]:
    """Yield the batches at ``keys`` that can be read. A lost record does no harm: its images are
    chosen again.
    """
    for key in keys:
        try:
            yield read_batch(store, key)
        except DamagedObject as damage:
            warn(str(damage))


def queued_images(store: ObjectStore, images: Collection[str]) -> dict[str, QueuedImage]:
    """Return the newest entry in the ledger of each of ``images`` (sha256) that has one."""
    missing, found = set(images), dict[str, QueuedImage]()
    for batch in newest_batches(store):
        if not missing:
            break
        for image in batch.images:
            if image.sha256 in missing:
                found[image.sha256] = image
        missing -= found.keys()
    return found


def read_batch(store: ObjectStore, key: str) -> QueueBatch:
    """Read the batch at ``key``.

    Raises:
        KeyMissing: there is none.
        DamagedObject: it cannot be read, or is the batch of another key.
    """
    batch = read_record(store, key, QueueBatch)
    if batch.key != key:
        raise DamagedObject(key, f"it holds the batch of {batch.key}", store.url)
    return batch


def _done_key(record_key: str) -> str:
    return record_key.removesuffix(_RECORD) + _DONE
