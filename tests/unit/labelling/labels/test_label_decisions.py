"""Decisions about labels, one after the other: numbered, bound to what they hit, none without effect
listed as one that counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.annotations.label_changes import (
    Event,
    OvertakenError,
    all_rows,
    image_of,
    next_number,
    now_after,
    preview,
    write_event,
)
from assets.annotations.label_index import view_of
from assets.annotations.label_overview import Overview, overview, words_of
from labelling.labels.events import (
    EventError,
    Rename,
    Restoral,
    Withdrawal,
    event_key,
    parse_event,
    to_json,
)
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import AnnotationSnapshot, ingested_key
from labelling.labels.table import label_rows
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
MULTI = LabelSchema(task="multi_label")
ANY = LabelSchema()
Item = tuple[str, bytes]


def minute(at: float) -> datetime:
    return START + timedelta(minutes=at)


def labelled(image: str, *labels: str, at: float = 0) -> Item:
    snapshot = AnnotationSnapshot(
        sha256=image * 64,
        labels=labels,
        annotator="ann",
        source="ingest",
        annotated_at=minute(at),
        annotation_id=f"raw/set/{image}.png",
    )
    return ingested_key(snapshot), snapshot.to_json()


def stored(kind: Any, at: float, **fields: Any) -> Item:
    event = kind(at=minute(at), by="me", **fields)
    return event_key(event), to_json(event)


def rows(*items: Item) -> Any:
    return label_rows(items, MULTI)


def labels(*items: Item, schema: LabelSchema = ANY) -> dict[str, list[str]]:
    found = view_of(rows(*items), schema).labels
    return {image[0]: sorted(given) for image, given in found.items()}


def shown(*items: Item, schema: LabelSchema = ANY) -> Overview:
    return overview(rows(*items), schema)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    for image, label in (("a", "red"), ("b", "blue")):
        store.put(*labelled(image, label))
    return store


def renaming(store: ObjectStore, new: str) -> Rename:
    table = all_rows(store)
    return Rename(at=now_after(table), by="me", number=next_number(table), old=("red",), new=new)


# --- one decision after the other ----------------------------------------------------------


def test_of_two_that_decide_at_once_one_is_written(store: ObjectStore) -> None:
    first, second = renaming(store, "A"), renaming(store, "B")
    key = write_event(store, first)
    with pytest.raises(OvertakenError):
        write_event(store, second)
    assert write_event(store, first) == key, (
        "an answer that was lost: it is written, and as it should be"
    )
    third = renaming(store, "C")
    assert (first.number, third.number) == (1, 2)
    assert third.at > first.at
    write_event(store, third)
    assert len(overview(all_rows(store), ANY).decided) == 2


def test_a_home_with_decisions_that_have_no_number_goes_on(store: ObjectStore) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)  # a clock that was put right since
    old = Rename(at=ahead, by="me", old=("red",), new="rot")
    data = (
        '{"format":1,"at":"2026-01-01T00:00:00Z","by":"me","kind":"withdraw","source":"set",'
        '"label":"a","images":[]}'
    )
    key = "annotations/events/1767225600000-025f8a5b.json"  # as the version before numbers has it
    found = parse_event(data, key)
    assert found.number is None
    assert parse_event(to_json(found), key) == found
    store.put(event_key(old), to_json(old))
    table = all_rows(store)
    event = Rename(
        at=now_after(table), by="me", number=next_number(table), old=("rot",), new="ruby"
    )
    write_event(store, event)
    assert view_of(all_rows(store), ANY).aliases == {"red": "ruby", "rot": "ruby"}


def test_a_number_that_something_broken_has_is_taken(store: ObjectStore) -> None:
    broken = event_key(renaming(store, "A"))
    store.put(broken, b"{}")
    event = renaming(store, "B")
    assert event.number == 2
    write_event(store, event)
    assert view_of(all_rows(store), ANY).labels["a" * 64] == ["B"]


def test_a_numbered_event_is_read_back_and_one_that_was_changed_is_not() -> None:
    event = Rename(at=START, by="Zoë", number=7, old=("a",), new="Käfer")
    key, data = event_key(event), to_json(event)
    assert parse_event(data, key) == event
    with pytest.raises(EventError, match="does not fit its sha256: it was changed"):
        parse_event(data.replace("Zoë".encode(), b"Zoe"), key)
    with pytest.raises(EventError, match="it was changed"):
        parse_event(data.replace(b'"number": 7', b'"number": 8'), key)


def test_what_has_no_effect_is_not_listed_as_counting() -> None:
    first = stored(Rename, 1, old=("red",), new="A")
    void = stored(
        Rename, 2, old=("red",), new="B"
    )  # both were decided at once, by a former version
    nothing = stored(Withdrawal, 3, label="grey")
    found = shown(labelled("a", "red"), first, void, nothing).decided
    assert [(one.in_force, one.is_idle) for one in found] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    undone = stored(Restoral, 4, event=first[0])
    found = shown(labelled("a", "red"), first, void, undone).decided
    assert [(one.in_force, one.is_idle) for one in found[:2]] == [(False, False), (True, False)]
    waiting = shown(stored(Rename, 1, old=("later",), new="A")).decided
    assert waiting[0].in_force, "it applies to what will be said"


# --- what a withdrawal is bound to ---------------------------------------------------------


def test_what_was_taken_back_stays_so_whatever_is_restored() -> None:
    first = stored(Rename, 1, old=("red",), new="r2")
    second = stored(Rename, 2, old=("r2",), new="r3")
    back = stored(Withdrawal, 3, label="r3")
    items = [labelled("a", "red"), labelled("b", "blue"), first, second, back]
    for undone in (first, second):
        restored = stored(Restoral, 4, event=undone[0])
        assert labels(*items, restored) == {"b": ["blue"]}
        assert shown(*items, restored).decided[2].in_force
    later = stored(Rename, 4, old=("blue",), new="r3")
    assert labels(*items, later) == {"b": ["r3"]}
    assert labels(*items, stored(Restoral, 4, event=back[0])) == {"a": ["r3"], "b": ["blue"]}


def test_a_rename_that_was_restored_before_has_no_part_in_what_is_taken_back() -> None:
    rename = stored(Rename, 1, old=("red",), new="blue")
    undone = stored(Restoral, 2, event=rename[0])
    back = stored(Withdrawal, 3, label="blue")
    items = [labelled("a", "red"), labelled("b", "blue"), rename, undone, back]
    assert labels(*items) == {"a": ["red"]}


def test_a_variant_that_was_taken_for_the_class_stays_taken_back() -> None:
    back = stored(Withdrawal, 3, label="dog", spellings=("Dog",))
    items = [labelled("a", "Dog"), labelled("b", "dog"), back]
    for schema in (LabelSchema(names=("dog",)), ANY):
        assert labels(*items, schema=schema) == {}


def test_the_label_that_is_left_stays_though_the_one_taken_back_gets_its_name() -> None:
    items = [labelled("a", "q", "r"), stored(Withdrawal, 1, label="q")]
    assert labels(*items, stored(Rename, 2, old=("q",), new="r"), schema=MULTI) == {"a": ["r"]}


def test_a_preview_names_files_though_nothing_counts_of_them() -> None:
    back = stored(Withdrawal, 3, label="red")
    restoral = Restoral(at=minute(4), by="me", event=back[0])
    change = preview(rows(labelled("a", "red"), back), restoral, ANY)
    assert change.examples == (("raw/set/a.png", "no label", "red"),)


def test_an_image_is_known_by_its_key_before_it_is_indexed(store: ObjectStore) -> None:
    table = all_rows(store)
    assert image_of(store, "raw/set/a.png", table) == "a" * 64
    assert image_of(store, "set/b.png", table) == "b" * 64
    assert image_of(store, "set/c.png", table) is None


# --- against a simple model ----------------------------------------------------------------

WORDS = st.sampled_from("pqrs")
OPERATIONS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from("abc"), st.sets(WORDS, min_size=1, max_size=2)),
    st.tuples(st.just("rename"), st.sets(WORDS, min_size=1, max_size=2), WORDS),
    st.tuples(st.just("withdraw"), WORDS, st.sets(st.sampled_from("abc"), max_size=2)),
    st.tuples(st.just("restore"), st.integers(0, 5), st.none()),
)


class Model:
    """Every statement is a list of words; every decision is looked at word by word."""

    def __init__(self) -> None:
        self.statements: list[tuple[int, str, list[str]]] = []
        self.events: dict[int, tuple[str, Any, Any]] = {}
        self.undone: set[int] = set()

    def name(self, word: str, at: int) -> str:
        renames = [
            (when, old, new)
            for when, (kind, old, new) in self.events.items()
            if kind == "rename" and when not in self.undone
        ]
        for when, old, new in renames:
            again = any(when < other < at and called == word for other, _, called in renames)
            if word in old and not again:
                word = new
        return word

    def hits(self, label: str, images: set[str]) -> set[tuple[int, str]]:
        return {
            (at, word)
            for at, image, words in self.statements
            for word in words
            if self.name(word, at) == label and (not images or image in images)
        }

    def counts(self) -> dict[str, list[str]]:
        back: set[tuple[int, str]] = set()
        for when, (kind, hit, _) in self.events.items():
            back |= hit if kind == "withdraw" and when not in self.undone else set()
        found = {}
        for at, image, words in self.statements:
            if left := {self.name(word, at) for word in words if (at, word) not in back}:
                found[image] = sorted(left)
        return found


@settings(deadline=None, max_examples=100)
@given(st.lists(OPERATIONS, max_size=14))
def test_any_sequence_of_decisions_counts_as_the_model_says(operations: list[Any]) -> None:
    model, items, keys = Model(), [], {}
    for at, (kind, first, second) in enumerate(operations, start=1):
        event: Event
        if kind == "say":
            model.statements.append((at, first, sorted(second)))
            items.append(labelled(first, *sorted(second), at=at))
            continue
        number = len(keys) + len(model.undone) + 1
        stamp: dict[str, Any] = {"at": minute(at), "by": "me", "number": number}
        if kind == "rename" and first - {second}:
            old = tuple(sorted(first - {second}))
            event = Rename(**stamp, old=old, new=second)
            model.events[at] = (kind, old, second)
        elif kind == "withdraw":
            images = tuple(image * 64 for image in second)
            event = Withdrawal(**stamp, label=first, images=images)
            model.events[at] = (kind, model.hits(first, second), None)
        else:
            standing = [when for when in model.events if when not in model.undone]
            if kind == "rename" or first >= len(standing):
                continue
            event = Restoral(**stamp, event=keys[standing[first]])
            model.undone.add(standing[first])
        if not isinstance(event, Restoral):
            keys[at] = event_key(event)
        items.append((event_key(event), to_json(event)))
        assert words_of(event)
    assert len({key for key, _ in items}) == len(items)
    assert labels(*items, schema=MULTI) == model.counts()
