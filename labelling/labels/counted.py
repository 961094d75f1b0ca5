"""Apply label events to the label table: present names, and withdrawn statements removed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelling.labels.events import History, Rename, Withdrawal, applies
from labelling.labels.schema import LabelSchema
from labelling.labels.table import EVENT, history_of

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Events = Sequence[Rename | Withdrawal]


@dataclass(frozen=True)
class Counted:
    """The label table after the events.

    Attributes:
        rows: the statements that were not withdrawn, with labels and pre-labels by their present
            names; in ``labelling.labels.table.LABELS_SCHEMA``, without events.
        schema: the label schema with renamed names.
        history: the events.
        withdrawn: the original statements of which something was withdrawn.
        idle: indices of the events in force without effect: renames that no label needs, now or in
            future, and withdrawals that no statement fits.
    """

    rows: pa.Table
    schema: LabelSchema
    history: History
    withdrawn: pa.Table
    idle: frozenset[int] = frozenset()


def counted(labels: pa.Table, schema: LabelSchema) -> Counted:
    """Apply the events in the label table to its statements.

    Args:
        labels: the table, in ``labelling.labels.table.LABELS_SCHEMA``, with or without
            ``prelabel``, and without ``annotation_id`` unless :func:`takes_back_a_source`; without
            events, only labels are normalised.
        schema: the label schema of the settings.
    """
    is_event = pc.equal(labels["status"], EVENT)
    history = History()
    columns = [name for name in ("labels", "prelabel") if name in labels.column_names]
    if pc.any(is_event).as_py():
        history = history_of(labels)
        labels = labels.filter(pc.invert(is_event))
    elif all(_is_written(labels, column, schema) for column in columns):
        return Counted(labels, schema, history, labels.slice(0, 0))
    present = renamed_schema(schema, history)
    statements = _StatedLabels(labels, "labels", schema, history.in_force)
    for index, event in enumerate(statements.events):
        if isinstance(event, Rename):
            statements.rename(index, event)
        else:
            statements.withdraw(index, event, history)
    rows = statements.written(present)
    rows = rows.filter(pa.array(~statements.gone)) if statements.gone.any() else rows
    for column in columns[1:]:
        prelabels = _StatedLabels(rows, column, schema, history.in_force)
        for index, event in enumerate(statements.events):
            if isinstance(event, Rename):
                prelabels.rename(index, event)
        rows = prelabels.written(present)
    touched = statements.gone | statements.touched
    return Counted(
        rows,
        present,
        history,
        labels.filter(pa.array(touched, pa.bool_())),
        frozenset(range(len(statements.events)))
        - statements.at_work
        - future_renames(statements.events),
    )


def renamed_schema(schema: LabelSchema, history: History) -> LabelSchema:
    """``schema`` with the present name of each of its names."""
    aliases = history.aliases(schema.names) if schema.names else {}
    names = dict.fromkeys(aliases.get(name, name) for name in schema.names)
    return schema.model_copy(update={"names": tuple(names)}) if aliases else schema


def future_renames(events: Events) -> frozenset[int]:
    """Indices of the renames that apply to labels given from now on."""
    found = set()
    for name in {old for event in events if isinstance(event, Rename) for old in event.old}:
        called = name
        for index, event in enumerate(events):
            if isinstance(event, Rename) and applies(events, index, called, len(events)):
                found.add(index)
                called = event.new
    return frozenset(found)


def _is_written(rows: pa.Table, column: str, schema: LabelSchema) -> bool:
    """Whether all labels are in the form in which they count."""
    words = pc.unique(pc.list_flatten(rows[column])).to_pylist()
    return all(schema.taken_for(word) == word for word in words)


class _StatedLabels:
    """One column of labels, to which events are applied in order."""

    def __init__(self, rows: pa.Table, column: str, schema: LabelSchema, events: Events) -> None:
        # A million statements have few distinct labels, and there are few events: the present name
        # is found once for each label and number of events before it (a kind).
        self._rows, self._column, self.events = rows, column, events
        self._lists = rows[column].combine_chunks()
        self._parents = np.asarray(pc.list_parent_indices(self._lists), dtype=np.int64)
        words = pc.list_flatten(self._lists).dictionary_encode()
        texts = [str(word) for word in words.dictionary.to_pylist()]
        codes = np.asarray(words.indices, dtype=np.int64)
        self._made = _events_before(rows, events)
        kinds, self._kind = np.unique(
            codes * (len(events) + 1) + self._made[self._parents], return_inverse=True
        )
        self._stated = [texts[kind // (len(events) + 1)] for kind in kinds.tolist()]
        self._before = [kind % (len(events) + 1) for kind in kinds.tolist()]
        self._now = [schema.taken_for(word) for word in self._stated]
        self._dropped = np.zeros(len(self._parents), bool)
        self.gone = np.zeros(rows.num_rows, bool)
        self.touched = np.zeros(rows.num_rows, bool)
        self.at_work: set[int] = set()
        """Indices of the events that had an effect."""
        self._schema = schema

    def rename(self, index: int, event: Rename) -> None:
        """Call labels by their new name."""
        for kind, (name, before) in enumerate(zip(self._now, self._before, strict=True)):
            if applies(self.events, index, name, before):
                self._now[kind] = event.new
                self.at_work.add(index)

    def called(self, names: Iterable[str]) -> np.ndarray:
        """Which of the labels of all rows, bool [labels], have one of ``names`` now."""
        wanted = frozenset(names)
        is_it = np.array([name in wanted for name in self._now], bool)
        return is_it[self._kind] if len(self._kind) else np.zeros(len(self._parents), bool)

    def withdraw(self, index: int, event: Withdrawal, history: History) -> None:
        """Withdraw the matching statements that were made before the event.

        Args:
            index: position of the event in the history.
            event: the withdrawal.
            history: all events.
        """
        rows = (self._made <= index) & _fits(self._rows, event)
        if not event.label:
            self.gone |= rows
            if rows.any():
                self.at_work.add(index)
            return
        # The label's name at the time of the decision identifies the statements; later renames,
        # and their restoral, change nothing about that.
        names, then = (event.label, *(event.spellings or ())), history.standing_before(event)
        reading = self if then == tuple(self.events[:index]) else self._as_of(then)
        hit = reading.called(names) & rows[self._parents]
        if hit.any():
            self.at_work.add(index)
        self._dropped |= hit
        self.touched[self._parents[hit]] = True
        left = np.bincount(self._parents[~self._dropped], minlength=len(self.gone))
        self.gone |= self.touched & (left == 0)  # an empty row would mean none of the labels

    def _as_of(self, events: Events) -> "_StatedLabels":
        """The labels by the names that they had when ``events`` were in force."""
        then = _StatedLabels(self._rows, self._column, self._schema, events)
        for index, event in enumerate(events):
            if isinstance(event, Rename):
                then.rename(index, event)
        return then

    def written(self, present: LabelSchema) -> pa.Table:
        """The rows with the present labels."""
        now = [present.taken_for(name) for name in self._now]
        is_other = np.array([a != b for a, b in zip(now, self._stated, strict=True)], bool)
        changed = self._dropped | (is_other[self._kind] if len(self._kind) else False)
        if not changed.any():
            return self._rows
        words = list(dict.fromkeys(now))
        place = {word: index for index, word in enumerate(words)}
        codes = np.array([place[word] for word in now], np.int64)[self._kind]
        # If two labels of an image have the same present name, the first stays. A label given twice
        # in one spelling stays, too: the schema rejects it.
        standing = np.flatnonzero(~self._dropped)  # the first may be withdrawn
        named = (self._parents * len(words) + codes)[standing]
        first = standing[np.unique(named, return_index=True)[1]]
        others = np.ones(self._rows.num_rows, bool)
        others[self._parents[changed]] = False
        left = others[self._parents]
        left[first] = True
        kept = np.flatnonzero(left & ~self._dropped)
        counts = np.bincount(self._parents[kept], minlength=self._rows.num_rows)
        column = pa.ListArray.from_arrays(
            pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32()),
            pa.array(words, pa.string()).take(pa.array(codes[kept])),
            mask=self._lists.is_null(),
        )
        index = self._rows.schema.get_field_index(self._column)
        return self._rows.set_column(index, self._rows.schema.field(index), column)


def _events_before(rows: pa.Table, events: Events) -> np.ndarray:
    """For each row, how many events are not later: int64 [n]."""
    if not events:
        return np.zeros(rows.num_rows, np.int64)
    times = [(event.at - _START) // _MICROSECOND for event in events]
    stated_at = np.asarray(rows["annotated_at"].cast(pa.int64()))
    return np.searchsorted(times, stated_at, side="right").astype(np.int64)


def _fits(rows: pa.Table, event: Withdrawal) -> np.ndarray:
    """Which rows have the source and the images of a withdrawal: bool [n]."""
    fits = np.ones(rows.num_rows, bool)
    if event.source:
        fits &= np.asarray(is_of_source(rows, event.source))
    if event.images:
        fits &= np.asarray(pc.is_in(rows["sha256"], value_set=pa.array(event.images)))
    return fits


def takes_back_a_source(labels: pa.Table) -> bool:
    """Whether an event in the label table withdraws the labels of a source."""
    events = history_of(labels).in_force
    return any(isinstance(event, Withdrawal) and bool(event.source) for event in events)


def is_of_source(rows: pa.Table, source: str) -> pa.ChunkedArray:
    """Which rows come from ``source`` (see :class:`labelling.labels.events.Withdrawal`)."""
    ingested = pc.and_(
        pc.equal(rows["source"], "ingest"),
        pc.starts_with(rows["annotation_id"], pattern=f"raw/{source}/"),
    )
    named = pc.or_(pc.equal(rows["source"], source), pc.equal(rows["annotator"], source))
    return pc.or_(ingested, named)
