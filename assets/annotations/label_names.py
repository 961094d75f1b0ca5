"""Names of classes: under which name an incoming label counts, after the renames in the store."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow.compute as pc

from assets.annotations.label_changes import all_rows
from assets.annotations.label_index import labels_table
from labelling.labels.counted import counted, renamed_schema
from labelling.labels.events import (
    EVENTS_PREFIX,
    EventError,
    History,
    Rename,
    Withdrawal,
    name_at,
    parse_event,
)
from labelling.labels.known_classes import KnownClasses
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import INGESTED_PREFIX, SnapshotError, epoch_ms, parse_snapshot
from object_store.store import ObjectStore
from object_store.transfer import get_many


@dataclass(frozen=True)
class LabelNames:
    """Under which names labels count now.

    Attributes:
        given: the label schema in the settings.
        present: the same with the present names of its classes.
        aliases: former name of a class to its present one.
        withdrawn: keys of snapshots that were withdrawn in part or whole: the same labels, ingested
            again, are a new statement.
        latest: time of the newest event; a statement made now is later.
        events: the renames and withdrawals that count, in order.
    """

    given: LabelSchema
    present: LabelSchema
    aliases: dict[str, str] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()
    latest: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    events: tuple[Rename | Withdrawal, ...] = ()

    def written(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return ``labels`` as they are stored: normalized, spelling variants as the listed name."""
        return self.given.written(labels)

    def known(self, labels: Iterable[str]) -> KnownClasses:
        """Return the classes that a source is compared with, given the ``labels`` in use."""
        classes = frozenset({*map(self.counts_as, labels), *self.present.names})
        return KnownClasses(classes, self.given, self.present, self.aliases)

    def counts_as(self, label: str) -> str:
        """Return the class that ``label`` counts as now."""
        return KnownClasses(frozenset(), self.given, self.present, self.aliases).counts_as(label)

    def counted_at(self, labels: Iterable[str], moment: int) -> tuple[str, ...]:
        """Return the present classes of ``labels`` that were given at ``moment`` (ms since the epoch).

        A name that was reused after a rename has its meaning of that time.
        """
        made = sum(epoch_ms(event.at) <= moment for event in self.events)
        given = (self.given.taken_for(label) for label in labels)
        called = (self.present.taken_for(name_at(self.events, one, made)) for one in given)
        return tuple(sorted(set(called)))

    def counted_now(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return the present classes of ``labels`` that are given now, sorted."""
        return tuple(sorted(set(map(self.counts_as, labels))))

    def problem(self, labels: Sequence[str]) -> str | None:
        """Return why ``labels`` (from :meth:`written`) cannot label an image, or ``None``."""
        if len(set(labels)) < len(labels):
            return self.present.problem(labels)
        return self.present.problem(tuple(dict.fromkeys(map(self.counts_as, labels))))

    def page(self, there: Iterable[str]) -> tuple[str, ...]:
        """Return ``there`` (labels on a page or in a data set) under their present names."""
        return tuple(dict.fromkeys(self.aliases.get(label, label) for label in there))


def label_names(store: ObjectStore, schema: LabelSchema) -> LabelNames:
    """Read the names under which labels count in ``store``.

    All events are read; the label table only if there is a withdrawal.
    """
    history = _history(store)
    if not history.events:
        return LabelNames(schema, schema)
    withdrawn: frozenset[str] = frozenset()
    if any(isinstance(event, Withdrawal) for event in history.in_force):
        rows = counted(all_rows(store), schema).withdrawn
        withdrawn = frozenset(rows["snapshot_key"].to_pylist())
    return LabelNames(
        given=schema,
        present=renamed_schema(schema, history),
        aliases=history.aliases(),
        withdrawn=withdrawn,
        latest=history.events[-1][1].at,
        events=history.in_force,
    )


def known_classes(store: ObjectStore, schema: LabelSchema) -> KnownClasses:
    """Return all classes that were ever used in ``store``: in the label table and in new snapshots.

    Of the new snapshots one is read for each set of labels, which is part of their keys.
    """
    table = labels_table(store, on_damage=lambda _: None)  # `annotations` repairs the table
    rows = table.read(["snapshot_key", "labels"])
    labels = set(pc.unique(pc.list_flatten(rows["labels"])).to_pylist())
    keys = store.list_table(INGESTED_PREFIX)["key"]
    fresh = keys.filter(pc.invert(pc.is_in(keys, value_set=rows["snapshot_key"]))).to_pylist()
    for key, data in get_many(store, list({key[-13:]: key for key in fresh}.values())):
        with suppress(SnapshotError):
            labels |= {*parse_snapshot(data, key).labels} if data is not None else set()
    return label_names(store, schema).known(labels)


def _history(store: ObjectStore) -> History:
    """Read the events in ``store``; invalid ones are skipped, as ``annotations`` reports them."""
    events = []
    for key, data in get_many(store, [info.key for info in store.list(EVENTS_PREFIX)]):
        with suppress(EventError):
            if data is not None:
                events.append((key, parse_event(data, key)))
    return History.of(events)
