"""The kinds of objects in the store, and the check of each kind."""

import hashlib
import io
import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets.dataset.splits.generations import read_generation
from assets.dataset.versions import Sources, read_card, read_dataset_manifest
from assets.evaluation.records import read_evaluation
from assets.model.digest import actual_digest
from assets.model.feature_store import EmbeddedModel
from assets.queue.ledger import read_batch
from assets.records.all_records import RECORDS
from assets.release.verdicts import read_verdict
from labelling.label_studio.ledger import LABEL_STUDIO_KEY, label_studio_key
from labelling.labels.corrections import CorrectionError, parse_correction
from labelling.labels.events import EventError, parse_event
from labelling.labels.snapshots import SnapshotError, parse_snapshot
from labelling.report.report import LabellingReport
from object_store.contents.damage import DamagedObject, flaw_of
from object_store.contents.reading import read_object, read_record
from object_store.errors import KeyMissing
from object_store.rows import MARKER, ObjectInfo, written_at
from object_store.store import ObjectStore
from resources.compute.outputs import read_job
from serving.deployments import RecordError, parse_record

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Known:
    """An object under ``raw/`` as the image table has it.

    Attributes:
        sha256: hash when it was a readable image (hex).
        etag: etag at that time.
    """

    sha256: str
    etag: str


@dataclass
class Look:
    """What the checks of single objects need.

    Attributes:
        store: the store.
        images: readable images of the image table, by key.
        sums: sha256 (hex) of the outputs of jobs, by key.
    """

    store: ObjectStore
    images: dict[str, Known] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)

    def sha256(self, key: str) -> str:
        """Return the sha256 (hex) of an object, read in chunks."""
        digest = hashlib.sha256()
        for chunk in self.store.place.chunks(key):
            digest.update(memoryview(chunk))
        return digest.hexdigest()

    def damaged(self, key: str, flaw: str) -> DamagedObject:
        """Return the error for a damaged object."""
        return DamagedObject(key, flaw, self.store.url)


Check = Callable[[Look, ObjectInfo], None]
"""Reads one object; raises DamagedObject if its content does not fit its key."""


def check_object(look: Look, info: ObjectInfo) -> None:
    """Check one object by its kind.

    Raises:
        KeyMissing: it was deleted.
        DamagedObject: it, or another object that it needs, is damaged.
    """
    expected = look.sums.get(info.key)
    if expected is not None and look.sha256(info.key) != expected:
        flaw = "its bytes are not those that the job wrote" if info.size else "it is empty"
        raise look.damaged(info.key, flaw)
    for pattern, check in _KINDS:
        if re.match(pattern, info.key):
            check(look, info)
            return


# --- images and labels ---------------------------------------------------------------------


def _image(look: Look, info: ObjectInfo) -> None:
    known = look.images.get(info.key)
    if known is None or look.sha256(info.key) == known.sha256:
        return
    # In a copy of the home the inode differs, which the next run takes for the same write, too.
    if info.etag == known.etag or written_at(info.etag) == written_at(known.etag) != "":
        raise look.damaged(info.key, "its bytes changed, and its time did not: the disk did it")
    from training.images.images import ImageRejected, inspect

    try:
        inspect(look.store.get(info.key))  # a rewritten image is indexed by the next run
    except ImageRejected as error:
        was = "it is empty" if not info.size else f"it is no readable image any more ({error})"
        raise look.damaged(info.key, was) from None


def _snapshot(look: Look, info: ObjectInfo) -> None:
    data = look.store.get(info.key)
    try:
        snapshot = parse_snapshot(data, info.key)
    except SnapshotError as error:
        flaw = str(error).removeprefix(info.key).strip()
        raise look.damaged(info.key, flaw_of(data, flaw)) from None
    if LABEL_STUDIO_KEY.fullmatch(info.key) and label_studio_key(snapshot) != info.key:
        raise look.damaged(info.key, f"it holds what {label_studio_key(snapshot)} should")


def _correction(look: Look, info: ObjectInfo) -> None:
    data = look.store.get(info.key)
    try:
        parse_correction(data, info.key)
    except CorrectionError as error:
        flaw = str(error).removeprefix(info.key).strip()
        raise look.damaged(info.key, flaw_of(data, flaw)) from None


# --- data sets and models ------------------------------------------------------------------


def _shard(look: Look, info: ObjectInfo) -> None:
    named = info.key.rpartition("/")[2].removesuffix(".tar")
    if look.sha256(info.key) != named:
        flaw = f"its {info.size:,} bytes do not have the sha256 it is named by"
        raise look.damaged(info.key, flaw if info.size else "it is empty")


def _manifest(look: Look, info: ObjectInfo) -> None:
    version = info.key.split("/")[1]
    try:
        read_dataset_manifest(look.store, version)
    except KeyMissing:
        return  # no card yet: the next run completes what a killed one began
    except DamagedObject as damage:
        if damage.key == info.key:  # damage of the card is reported with the card
            raise


def _card(look: Look, info: ObjectInfo) -> None:
    version = info.key.split("/")[1]
    read_card(look.store, version)
    if not look.store.exists(f"datasets/{version}/manifest.parquet"):
        raise look.damaged(f"datasets/{version}/manifest.parquet", "it is missing")


def _picture(look: Look, info: ObjectInfo) -> None:
    from PIL import Image

    data = look.store.get(info.key)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            picture.load()
    except Exception as error:  # noqa: BLE001 - Pillow raises many kinds for broken bytes
        raise look.damaged(info.key, flaw_of(data, error)) from None


def _archive(look: Look, info: ObjectInfo) -> None:
    """Read a .tar.gz to its end, where gzip's checksum shows changed bytes."""
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        path = Path(scratch) / "archive"
        look.store.download(info.key, path)
        try:
            with tarfile.open(path, mode="r:gz") as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    while file is not None and file.read(_CHUNK):
                        pass
        except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
            flaw = flaw_of(b"" if not info.size else b"x" * min(info.size, 9), error)
            raise look.damaged(info.key, flaw if not info.size else str(error)) from None


def _model(look: Look, info: ObjectInfo) -> None:
    actual_digest(look.store, info.key)


def _job(look: Look, info: ObjectInfo) -> None:
    record = read_job(look.store, info.key.split("/")[1])
    for key in (record or {}).get("sha256", {}):
        if not look.store.exists(key):
            raise look.damaged(key, "it is missing")


# --- records -------------------------------------------------------------------------------


def _materialization(look: Look, info: ObjectInfo) -> None:
    kind = RECORDS.get(info.key.split("/")[1])
    if kind is None:  # of another version of imgclf
        _json(look, info)
    else:
        read_record(look.store, info.key, kind)


def _deployment(look: Look, info: ObjectInfo) -> None:
    data = look.store.get(info.key)
    try:
        parse_record(data, info.key)
    except RecordError as error:
        flaw = str(error).removeprefix(info.key).strip()
        raise look.damaged(info.key, flaw_of(data, flaw)) from None


def _label_event(look: Look, info: ObjectInfo) -> None:
    data = look.store.get(info.key)
    try:
        parse_event(data, info.key)
    except EventError as error:
        flaw = str(error).removeprefix(info.key).strip()
        raise look.damaged(info.key, flaw_of(data, flaw)) from None


def _json(look: Look, info: ObjectInfo) -> None:
    data = look.store.get(info.key)
    try:
        if json.loads(data) is None:
            raise ValueError("it is null")
    except (ValueError, RecursionError) as error:
        raise look.damaged(info.key, flaw_of(data, error)) from None


def _lines(look: Look, info: ObjectInfo) -> None:
    data = look.store.get(info.key)
    try:
        if not data or not all(isinstance(json.loads(line), dict) for line in data.splitlines()):
            raise ValueError("a line is no JSON object")
    except (ValueError, RecursionError) as error:
        raise look.damaged(info.key, flaw_of(data, error)) from None


def _parquet(look: Look, info: ObjectInfo) -> None:
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        path = look.store.local_path(info.key) or Path(scratch) / "file.parquet"
        if not path.exists():
            look.store.download(info.key, path)
        try:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            flaw = str(error).partition("\n")[0] if info.size else "it is empty"
            raise look.damaged(info.key, flaw) from None


def _not_empty(look: Look, info: ObjectInfo) -> None:
    if not info.size:
        raise look.damaged(info.key, "it is empty")


def _nothing(look: Look, info: ObjectInfo) -> None:
    """Accept the object; its content is not checked here."""


_KINDS: tuple[tuple[str, Check], ...] = (
    (r"raw/", _image),
    (r"annotations/events/.*", _label_event),
    (r"annotations/.*", _snapshot),
    (r"corrections/.*", _correction),
    (r"datasets/shards/.*\.tar$", _shard),
    (r"datasets/[^/]+/manifest\.parquet$", _manifest),
    (r"datasets/[^/]+/card\.json$", _card),
    (r"datasets/[^/]+/sources/.*\.json$", lambda k, i: _is(read_object(k.store, i.key, Sources))),
    (r"datasets/[^/]+/contact_sheets/", _picture),
    (r"splits/dealt/.*\.json$", lambda k, i: _is(read_generation(k.store, i.key))),
    (r"(tables|embeddings|predictions|splits/given)/.*\.parquet$", _nothing),  # looked at as tables
    (r"predictions/.*\.json$", lambda k, i: _is(read_record(k.store, i.key, EmbeddedModel))),
    (r"models/[^/]+/job\.json$", _job),
    (r"models/[^/]+/evaluations/.*\.json$", lambda k, i: _is(read_evaluation(k.store, i.key))),
    (r"models/[^/]+/output/model\.tar\.gz$", _model),
    (r"materializations/.*\.json$", _materialization),
    (r"checks/.*\.json$", lambda k, i: _is(read_verdict(k.store, i.key))),
    (r"endpoints/.*\.json$", _deployment),
    (r"queue/(shown/.*|.*\.done)$", _nothing),
    (r"queue/.*\.json$", lambda k, i: _is(read_batch(k.store, i.key))),
    (r"reports/.*\.json$", lambda k, i: _is(read_record(k.store, i.key, LabellingReport))),
    (r"pipes/.*/messages/|captures/.*\.jsonl$", _lines),
    (re.escape(MARKER), _json),
    (r".*\.json$", _json),
    (r".*\.parquet$", _parquet),
    (r".*\.tar\.gz$", _archive),
    (r".*\.(png|jpe?g)$", _picture),
    (r".*\.html$", _not_empty),
)
"""Pattern of keys and check; the first pattern that matches is used."""


def _is(_: object) -> None:
    """Accept a value: that it could be read is enough."""
