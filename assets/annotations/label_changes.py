"""Decisions about whole classes or sources of labels: their preview, and their event in the store."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import (
    ANY_LABEL,
    Judged,
    judge_labels,
    labels_table,
    new_snapshots,
    snapshot_rows,
)
from assets.ingestion.image_index import images_table, newest_rows, usable_images
from errors.base import ImgclfError
from labelling.labels.events import (
    EVENTS_PREFIX,
    Rename,
    Restoral,
    Withdrawal,
    event_key,
    moment_after,
    number_after,
    to_json,
)
from labelling.labels.form import normal_label
from labelling.labels.schema import LabelSchema, in_words
from labelling.labels.table import EVENT, label_rows
from object_store.errors import StoreError
from object_store.store import ObjectStore

EXAMPLES = 3
Event = Rename | Withdrawal | Restoral


@dataclass(frozen=True)
class Change:
    """What an event would change of the labels that count.

    Attributes:
        images: number of images whose label changes or is removed.
        unlabelled: those that lose their label.
        relabelled: those that get another label.
        classes: class to its images before and after, where the two differ.
        conflicts: number of images in conflict, before and after.
        examples: (image file, labels before, labels after).
    """

    images: int
    unlabelled: int
    relabelled: int
    classes: Mapping[str, tuple[int, int]]
    conflicts: tuple[int, int]
    examples: tuple[tuple[str, str, str], ...]


def all_rows(store: ObjectStore) -> pa.Table:
    """Return the label table with the snapshots and events that are not indexed yet."""
    table = labels_table(store)
    fresh = new_snapshots(store, table)
    indexed = table.read()
    return pa.concat_tables([indexed, snapshot_rows(store, fresh)]) if fresh else indexed


class OvertakenError(ImgclfError):
    """Another decision was recorded since the label table was read."""


def now_after(rows: pa.Table) -> datetime:
    """Return the present time, or a moment after the newest decision in ``rows`` if that is later."""
    events = rows.filter(pc.equal(rows["status"], EVENT))
    return moment_after(
        _event_keys(rows), datetime.now(UTC), pc.max(events["annotated_at"]).as_py()
    )


def next_number(rows: pa.Table) -> int:
    """Return the number of the next decision after those in ``rows``."""
    return number_after(_event_keys(rows))


def _event_keys(rows: pa.Table) -> list[str]:
    """Return all keys under the prefix of events, valid or not: their numbers are taken."""
    keys = rows["snapshot_key"].filter(pc.starts_with(rows["snapshot_key"], EVENTS_PREFIX))
    found: list[str] = keys.to_pylist()
    return found


def preview(rows: pa.Table, event: Event, schema: LabelSchema) -> Change:
    """Compare the labels that count before and after ``event``; pure.

    Args:
        rows: the label table, with all snapshots and events (:func:`all_rows`).
        event: the decision; not written.
        schema: label schema from the settings.
    """
    then = label_rows([(event_key(event), to_json(event))], ANY_LABEL)
    before = judge_labels(rows, schema)
    after = judge_labels(pa.concat_tables([rows, then]), schema)
    was, will = _labels(before), _labels(after)
    counts = [
        Counter(label for labels in labels_of.values() for label in labels)
        for labels_of in (was, will)
    ]
    changed = sorted(sha for sha in was.keys() | will.keys() if was.get(sha) != will.get(sha))
    lost = [sha for sha in changed if sha not in will]
    files = keys_of(rows, changed[:EXAMPLES])
    return Change(
        images=len(changed),
        unlabelled=len(lost),
        relabelled=len(changed) - len(lost),
        classes={
            label: (counts[0][label], counts[1][label])
            for label in sorted(counts[0].keys() | counts[1].keys())
            if counts[0][label] != counts[1][label]
        },
        conflicts=(before.decisions.conflicts.num_rows, after.decisions.conflicts.num_rows),
        examples=tuple(
            (files.get(sha, sha[:12]), _words(was.get(sha)), _words(will.get(sha)))
            for sha in changed[:EXAMPLES]
        ),
    )


def write_event(store: ObjectStore, event: Event) -> str:
    """Write ``event``; return its key.

    Raises:
        OvertakenError: another event has its number.
        StoreError: it cannot be written, or differs when read back.
    """
    key, data = event_key(event), to_json(event)
    is_new = store.create(key, data)
    there = store.get(key)
    if there != data:
        if not is_new:
            raise OvertakenError(key)
        raise StoreError(f"{key} in {store.url} differs from what was written; check the disk")
    return key


def spellings(rows: pa.Table, schema: LabelSchema, names: Iterable[str]) -> list[str]:
    """Return ``names`` and their other spellings in use: labels that ``schema`` maps to one of them.

    An event has to name these, too, so that it still covers them if the settings drop the name.

    Args:
        rows: of the label table.
        schema: label schema from the settings.
        names: names of classes.
    """
    wanted = list(dict.fromkeys(names))
    stated = (normal_label(word) for word in pc.unique(pc.list_flatten(rows["labels"])).to_pylist())
    others = sorted({word for word in stated if schema.taken_for(word) in wanted})
    return list(dict.fromkeys([*wanted, *others]))


def image_of(store: ObjectStore, path: str, statements: pa.Table) -> str | None:
    """Find the image (sha256) at ``path`` in the store, or that was labelled under that key.

    Args:
        store: has the image table, which may not have the image yet.
        path: with or without ``raw/``.
        statements: rows of the label table.

    Returns:
        The sha256, or ``None`` if the image is unknown.
    """
    key = path if path.startswith("raw/") else f"raw/{path}"
    indexed = usable_images(newest_rows(images_table(store).read()))
    found = indexed.filter(pc.equal(indexed["key"], key))["sha256"].to_pylist()
    if not found:
        of_it = statements.filter(
            pc.and_(
                pc.equal(statements["annotation_id"], key), pc.not_equal(statements["sha256"], "")
            )
        )
        found = of_it.sort_by("annotated_at")["sha256"].to_pylist()
    return str(found[-1]) if found else None


def sources_of(rows: pa.Table) -> dict[str, int]:
    """Count the statements of each source: ingested folders (as ``labels withdraw`` takes them) and
    annotators.
    """
    ingested = rows.filter(pc.equal(rows["source"], "ingest"))["annotation_id"].to_pylist()
    others = rows.filter(pc.not_equal(rows["source"], "ingest"))["annotator"].to_pylist()
    folders = (_folder(key) for key in ingested)
    return dict(sorted(Counter(name for name in (*folders, *others) if name).items()))


def _folder(key: str) -> str:
    parts = key.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "raw" else ""


def _labels(judged: Judged) -> dict[str, tuple[str, ...]]:
    found = judged.decisions.labels
    given = (tuple(sorted(labels)) for labels in found["labels"].to_pylist())
    return dict(zip(found["sha256"].to_pylist(), given, strict=True))


def keys_of(rows: pa.Table, images: Iterable[str]) -> dict[str, str]:
    """Return image (sha256) to its key under ``raw/``, of the ``images`` for which ``rows`` have one."""
    wanted = rows.filter(pc.is_in(rows["sha256"], value_set=pa.array(list(images), pa.string())))
    pairs = zip(wanted["sha256"].to_pylist(), wanted["annotation_id"].to_pylist(), strict=True)
    return {sha: key for sha, key in pairs if key.startswith("raw/")}


def _words(labels: tuple[str, ...] | None) -> str:
    return "no label" if labels is None else in_words(labels)
