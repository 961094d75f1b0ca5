"""Overview of the labels: classes, former names, look-alikes, and labels not in the settings."""

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
from labelling.labels.typos import Typo, probable_typos

Images = dict[str, set[str]]
"""Label to images (sha256)."""


@dataclass(frozen=True)
class ClassCounts:
    """The images of a class.

    Attributes:
        label: present name.
        images: number of images that count.
        in_conflict: images in conflict, to which a standing statement gives this label.
        superseded: images with this label before, replaced by a newer statement.
        withdrawn: images with this label before, whose statement was withdrawn.
        is_listed: whether the settings allow the label.
    """

    label: str
    images: int
    in_conflict: int
    superseded: int
    withdrawn: int
    is_listed: bool


@dataclass(frozen=True)
class Decided:
    """An event about labels.

    Attributes:
        id: 8 hex digits.
        at: its time, as text in UTC.
        by: who decided.
        says: its content, in words.
        in_force: whether it counts.
        is_idle: whether it has no effect though nobody restored it: its class was renamed
            before, or there was nothing to withdraw.
    """

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
        names: present names of the classes in the settings; empty: all labels count.
        classes: one for every label that counts, counted before, or is listed.
        aliases: former name of a class to its present one.
        look_alikes: groups of classes with similar names.
        typos: rare labels that are one letter from a commoner one.
        unknown: label to number of images, of current labels that the settings do not list.
        negatives: number of images labelled as having none of the classes.
        labelled: number of images with a label that counts, which one in conflict has not.
        conflicts: number of images in conflict.
        sources: source to number of its statements, without withdrawn ones.
        decided: the events, in order.
    """

    task: str
    names: tuple[str, ...]
    classes: tuple[ClassCounts, ...]
    aliases: dict[str, str]
    look_alikes: tuple[LookAlikes, ...]
    typos: tuple[Typo, ...]
    unknown: dict[str, int]
    negatives: int
    labelled: int
    conflicts: int
    sources: dict[str, int]
    decided: tuple[Decided, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return asdict(self)

    def images(self, label: str) -> int:
        """Return the number of images of ``label`` that count, or would if the settings listed it."""
        found = next((one.images for one in self.classes if one.label == label), 0)
        return found or self.unknown.get(label, 0)


def overview(rows: pa.Table, schema: LabelSchema) -> Overview:
    """Summarize the labels in the label table's ``rows``; pure.

    Args:
        rows: all of them, with events.
        schema: label schema from the settings.
    """
    judged = judge_labels(rows, schema)
    history, present = judged.counted.history, judged.counted.schema
    disputed = judged.decisions.conflicts
    labels = judged.decisions.labels
    labels = labels.filter(pc.invert(pc.is_in(labels["sha256"], value_set=disputed["sha256"])))
    now, standing = _images(labels), _images(judged.standing)
    listed = set(present.names)
    unknown = {
        word: len(images) for word, images in standing.items() if listed and word not in listed
    }
    images = {label: len(shas) for label, shas in now.items()} | unknown
    return Overview(
        task=present.task,
        names=present.names,
        classes=_classes(judged, now, standing, schema),
        aliases=history.aliases(),
        look_alikes=tuple(look_alikes({*now, *unknown, *listed})),
        # A name that the settings list is meant as it is.
        typos=tuple(one for one in probable_typos(images) if one.label not in listed),
        unknown=dict(sorted(unknown.items())),
        negatives=pc.sum(pc.equal(pc.list_value_length(labels["labels"]), 0)).as_py() or 0,
        labelled=labels.num_rows,
        conflicts=disputed.num_rows,
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
    ever_labelled = _images(judged.counted.rows)
    none: set[str] = set()
    disputed: Images = defaultdict(set)
    for row in judged.decisions.conflicts.to_pylist():
        for word in {*row["labels_a"], *row["labels_b"]}:
            disputed[word].add(row["sha256"])
    return tuple(
        ClassCounts(
            label=word,
            images=len(now.get(word, none)),
            in_conflict=len(disputed.get(word, none)),
            superseded=len(
                ever_labelled.get(word, none)
                - now.get(word, none)
                - standing.get(word, none)
                - disputed.get(word, none)
            ),
            withdrawn=len(back.get(word, none) - now.get(word, none)),
            is_listed=not present.names or word in present.names,
        )
        for word in sorted({*now, *ever_labelled, *back, *present.names})
    )


def _images(rows: pa.Table) -> Images:
    """Return label to the images (sha256) in ``rows`` that have it."""
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
    """Return the id of the event at ``key``, as ``imgclf labels restore`` takes it."""
    return key.removesuffix(".json")[-8:]


def images_named(events: Iterable[Event]) -> set[str]:
    """Return the images (sha256) that ``events`` name."""
    return {image for event in events for image in getattr(event, "images", ())}


def words_of(event: Event, keys: Mapping[str, str] | None = None) -> str:
    """Describe an event in words.

    Args:
        event: a rename, a withdrawal or a restoral.
        keys: image (sha256) to file; an image without one is named by the start of its sha256.
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
    return f"taken back, for statements made before it: {', '.join(what)}"
