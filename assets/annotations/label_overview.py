"""All labels at a glance: classes, former names, look-alikes, and what the settings do not list."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_changes import Event, keys_of, sources_of
from assets.annotations.label_index import Judged, judge_labels
from labelling.labels.counted import Counted
from labelling.labels.events import Rename, Restoral
from labelling.labels.form import LookAlikes, look_alikes
from labelling.labels.schema import LabelSchema

Images = dict[str, set[str]]
"""Label to images (sha256)."""


@dataclass(frozen=True)
class ClassCounts:
    """A class: images that count, and images that were called so once and are no more: because a
    newer word says otherwise (``superseded``), or it was taken back (``withdrawn``). ``is_listed``:
    whether the settings allow it."""

    label: str
    images: int
    superseded: int
    withdrawn: int
    is_listed: bool


@dataclass(frozen=True)
class Decided:
    """An event: its ``id`` (8 hex digits), when, by whom, and what it says; whether it counts
    (``in_force``). ``is_idle``: nobody has restored it, but it has no effect, because what it renames
    was called otherwise by then, or nothing was said that it takes back."""

    id: str
    at: str
    by: str
    says: str
    in_force: bool
    is_idle: bool = False


@dataclass(frozen=True)
class Overview:
    """What :func:`overview` finds.

    Attributes:
        task: of the settings.
        names: the names in the settings, as they are called now; empty: all labels count.
        classes: of every label that counts, counted once, or is listed.
        aliases: former name to present one.
        look_alikes: groups of classes.
        unknown: label to the images whose newest word it is, though the settings do not list it.
        negatives: images that are said to have none of the labels.
        labelled, conflicts: images.
        sources: who said how many statements that were not taken back.
        decided: the events, in order.
    """

    task: str
    names: tuple[str, ...]
    classes: tuple[ClassCounts, ...]
    aliases: dict[str, str]
    look_alikes: tuple[LookAlikes, ...]
    unknown: dict[str, int]
    negatives: int
    labelled: int
    conflicts: int
    sources: dict[str, int]
    decided: tuple[Decided, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def images(self, label: str) -> int:
        """How many images of ``label`` count, or would if the settings listed it."""
        found = next((one.images for one in self.classes if one.label == label), 0)
        return found or self.unknown.get(label, 0)


def overview(rows: pa.Table, schema: LabelSchema) -> Overview:
    """Everything about the labels in the label table's ``rows``; pure.

    Args:
        rows: all of them, events too.
        schema: what the settings say.
    """
    judged = judge_labels(rows, schema)
    history, present = judged.counted.history, judged.counted.schema
    labels = judged.decisions.labels
    now, standing = _images(labels), _images(judged.standing)
    listed = set(present.names)
    unknown = {
        word: len(images) for word, images in standing.items() if listed and word not in listed
    }
    return Overview(
        task=present.task,
        names=present.names,
        classes=_classes(judged, now, standing, schema),
        aliases=history.aliases(),
        look_alikes=tuple(look_alikes({*now, *unknown, *listed})),
        unknown=dict(sorted(unknown.items())),
        negatives=pc.sum(pc.equal(pc.list_value_length(labels["labels"]), 0)).as_py() or 0,
        labelled=labels.num_rows,
        conflicts=judged.decisions.conflicts.num_rows,
        sources=sources_of(judged.counted.rows),
        decided=tuple(_decided(judged.counted, rows)),
    )


def _classes(
    judged: Judged, now: Images, standing: Images, schema: LabelSchema
) -> tuple[ClassCounts, ...]:
    present, aliases = judged.counted.schema, judged.counted.history.aliases()
    back: Images = defaultdict(set)
    for word, images in _images(judged.counted.withdrawn).items():
        written = schema.taken_for(word)
        back[present.taken_for(aliases.get(written, written))] |= images
    said = _images(judged.counted.rows)
    none: set[str] = set()
    return tuple(
        ClassCounts(
            label=word,
            images=len(now.get(word, none)),
            superseded=len(said.get(word, none) - now.get(word, none) - standing.get(word, none)),
            withdrawn=len(back.get(word, none) - now.get(word, none)),
            is_listed=not present.names or word in present.names,
        )
        for word in sorted({*now, *said, *back, *present.names})
    )


def _images(rows: pa.Table) -> Images:
    """Label to the images (sha256) of which it is said."""
    found: Images = defaultdict(set)
    for image, labels in zip(rows["sha256"].to_pylist(), rows["labels"].to_pylist(), strict=True):
        for label in labels:
            found[label].add(image)
    return found


def _decided(found: Counted, rows: pa.Table) -> Iterable[Decided]:
    history = found.history
    standing = [key for key, _ in history.standing()]
    idle = {standing[index] for index in found.idle}
    keys = keys_of(rows, images_named(event for _, event in history.events))
    for key, event in history.events:
        yield Decided(
            id=event_id(key),
            at=f"{event.at:%Y-%m-%d %H:%M} UTC",
            by=event.by,
            says=words_of(event, keys),
            in_force=key in standing and key not in idle,
            is_idle=key in idle,
        )


def event_id(key: str) -> str:
    """What ``imgclf labels restore`` takes for the event at ``key``."""
    return key.removesuffix(".json")[-8:]


def images_named(events: Iterable[Event]) -> set[str]:
    """The images (sha256) that ``events`` name."""
    return {image for event in events for image in getattr(event, "images", ())}


def words_of(event: Event, keys: Mapping[str, str] | None = None) -> str:
    """What an event says, in words.

    Args:
        event: a rename, a withdrawal or a restoral.
        keys: names of images by sha256; the first digits of the sha256 where there is none.
    """
    if isinstance(event, Rename):
        are = "is" if len(event.old) == 1 else "are"
        return f"{', '.join(event.old)} {are} called {event.new}"
    if isinstance(event, Restoral):
        return f"{event_id(event.event)} counts no more"
    what = [f"source {event.source}"] if event.source else []
    what += [f"class {event.label}"] if event.label else []
    if event.images:
        shown = [(keys or {}).get(image) or image[:12] for image in event.images[:3]]
        more = len(event.images) - len(shown)
        what += [", ".join(shown) + (f" and {more} more images" if more else "")]
    return f"taken back, as far as it was said until then: {', '.join(what)}"
