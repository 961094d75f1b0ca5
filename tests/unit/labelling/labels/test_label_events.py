"""Labels renamed, merged, taken back and restored: what counts afterwards of what was said."""

import itertools
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from assets.annotations.label_index import judge_labels, view_of
from labelling.labels.counted import counted
from labelling.labels.events import (
    EventError,
    Rename,
    Restoral,
    Withdrawal,
    event_key,
    moment_after,
    parse_event,
    to_json,
)
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import AnnotationSnapshot, PredictionOrigin, ingested_key
from labelling.labels.table import label_rows

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
MULTI = LabelSchema(task="multi_label")
ANY = LabelSchema()
Item = tuple[str, bytes]
VERSION_BEFORE = "819d95a3aa615b6d"
"""What commit 884d3c5, which knew no events, makes of the table that is looked at."""


def minute(at: float) -> datetime:
    return START + timedelta(minutes=at)


def statement(image: str, *labels: str, at: float = 0, **other: Any) -> Item:
    fields: dict[str, Any] = {
        "sha256": image * 64,
        "labels": labels,
        "annotator": "ann",
        "source": "ingest",
        "annotated_at": minute(at),
        "annotation_id": f"raw/set/{image}.png",
    }
    snapshot = AnnotationSnapshot(**(fields | other))
    if snapshot.source == "ingest":
        return ingested_key(snapshot), snapshot.to_json()
    return f"annotations/label_studio/{image}-{at}-{snapshot.unique_id}.json", snapshot.to_json()


def clicked(image: str, *labels: str, at: float = 0, by: str = "bea", **other: Any) -> Item:
    unique = f"{image}{by}".encode().hex().ljust(32, "0")[:32]
    who = {"source": "label_studio", "annotator": f"label_studio:{by}", "unique_id": unique}
    return statement(image, *labels, at=at, **(who | other))


def renamed(at: float, new: str, *old: str) -> Item:
    return stored(Rename(at=minute(at), by="me", old=old, new=new))


def withdrawn(at: float, **what: Any) -> Item:
    return stored(Withdrawal(at=minute(at), by="me", **what))


def restored(at: float, event: Item) -> Item:
    return stored(Restoral(at=minute(at), by="me", event=event[0]))


def stored(event: Rename | Withdrawal | Restoral) -> Item:
    return event_key(event), to_json(event)


def labels(*items: Item, schema: LabelSchema = ANY) -> dict[str, list[str]]:
    table = label_rows(items, MULTI)
    shuffled = label_rows(reversed(items), MULTI)
    found = view_of(table, schema).labels
    assert view_of(shuffled, schema).labels == found, "the order of arrival is of no consequence"
    return {image[0]: sorted(given) for image, given in found.items()}


# --- events as objects ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        Rename(at=START + timedelta(microseconds=1999), by="me", old=("dog",), new="hound"),
        Withdrawal(at=START, by="me", source="set", label="dog", images=("a" * 64,)),
        Restoral(at=START, by="me", event=renamed(0, "b", "a")[0]),
    ],
)
def test_an_event_is_read_back_and_one_that_was_changed_is_not(event: Any) -> None:
    key, data = stored(event)
    assert parse_event(data, key) == event
    with pytest.raises(EventError, match=f"{key} holds what annotations/events/.* should"):
        parse_event(data.replace(b'"me"', b'"us"'), key)
    with pytest.raises(EventError, match=key):
        parse_event(b"{}", key)


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        (Rename, {"old": ("a",), "new": "a"}, "renamed to itself"),
        (Rename, {"old": ("a",), "new": " a "}, "renamed to itself"),
        (Rename, {"old": ("a",), "new": " "}, "a label is empty"),
        (Rename, {"old": ("a",), "new": "b\nc"}, "a line break"),
        (Rename, {"old": (), "new": "b"}, "at least 1"),
        (Withdrawal, {}, "names a source, a class or images"),
        (Withdrawal, {"images": ("A" * 64,)}, "no sha256"),
        (Restoral, {"event": "annotations/x.json"}, "pattern"),
    ],
)
def test_an_event_that_means_nothing_is_refused(kind: Any, fields: Any, wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        kind(at=START, by="me", **fields)


def test_a_new_event_is_later_than_all_others_though_the_clock_went_back() -> None:
    keys = [renamed(5, "b", "a")[0], "annotations/events/README.md"]
    assert moment_after(keys, minute(1)) == minute(5) + timedelta(milliseconds=1)
    assert moment_after(keys, minute(9)) == minute(9)
    assert moment_after([], minute(9)) == minute(9)


def test_a_broken_event_is_a_rejected_row_and_the_others_count() -> None:
    broken = ("annotations/events/0000000000000-00000000.json", b"{}")
    items = [statement("a", "dog"), renamed(1, "hound", "dog"), broken]
    assert labels(*items) == {"a": ["hound"]}
    judged = judge_labels(label_rows(items, MULTI), ANY)
    assert [row["snapshot_key"] for row in judged.standing.to_pylist()] == [broken[0]]


# --- renames -------------------------------------------------------------------------------


def test_a_rename_counts_for_earlier_and_for_later_labels() -> None:
    items = [
        statement("a", "dog"),
        statement("b", "dog", at=9),
        statement("c", "cat"),
        statement("d", "hound"),
    ]
    assert labels(*items, renamed(5, "hound", "dog")) == {
        "a": ["hound"],
        "b": ["hound"],
        "c": ["cat"],
        "d": ["hound"],
    }


def test_an_old_name_is_found_in_any_encoding() -> None:
    nfd = unicodedata.normalize("NFD", "Café")
    assert labels(statement("a", nfd), renamed(1, "bar", "Café")) == {"a": ["bar"]}
    assert labels(statement("a", "Café\u200b"), renamed(1, "bar", nfd)) == {"a": ["bar"]}


@pytest.mark.parametrize(
    ("renames", "expected"),
    [
        # what becomes of an a and a b that were said before, between and after
        ([("b", "a"), ("c", "b")], {"a": "c", "b": "c"}),
        ([("c", "b"), ("b", "a")], {"a": "b", "b-": "c", "b": "b"}),
        ([("b", "a"), ("a", "b")], {"a": "a", "b": "a"}),
        ([("b", "a"), ("a", "b"), ("b", "a")], {"a": "b", "b": "b"}),
    ],
)
def test_chains_and_cycles_come_out_as_they_were_meant(renames, expected) -> None:
    events = [renamed(10 * (n + 1), new, old) for n, (new, old) in enumerate(renames)]
    for at, word in itertools.product((5, 10 * len(renames) + 5), ("a", "b")):
        wanted = expected.get(f"{word}-") if at == 5 else None
        found = labels(statement("f", word, at=at), *events)
        assert found == {"f": [wanted or expected[word]]}, (at, word)


def test_two_names_can_be_swapped() -> None:
    events = [renamed(10, "tmp", "a"), renamed(20, "a", "b"), renamed(30, "b", "tmp")]
    items = [
        statement("1", "a"),
        statement("2", "b"),
        statement("3", "a", at=40),
        statement("4", "b", at=40),
    ]
    assert labels(*items, *events) == {"1": ["b"], "2": ["a"], "3": ["a"], "4": ["b"]}
    assert counted(label_rows(events, MULTI), ANY).history.aliases() == {"tmp": "b"}


def test_labels_that_are_merged_are_one_label_of_an_image() -> None:
    items = [statement("a", "dog", "hound", "wet"), statement("b", "wet")]
    assert labels(*items, renamed(1, "dog", "hound"), schema=MULTI) == {
        "a": ["dog", "wet"],
        "b": ["wet"],
    }


def test_what_was_given_twice_in_the_same_words_stays_refused() -> None:
    items = [statement("a", "cat", "cat"), statement("b", "dog"), renamed(1, "hound", "dog")]
    assert labels(*items, schema=MULTI) == {"b": ["hound"]}


def test_merged_classes_end_a_conflict() -> None:
    items = [statement("a", "dog"), statement("a", "hound")]
    assert view_of(label_rows(items, MULTI), ANY).conflicts
    assert not view_of(label_rows([*items, renamed(1, "dog", "hound")], MULTI), ANY).conflicts


def test_a_rename_that_is_restored_has_never_been() -> None:
    event = renamed(5, "hound", "dog")
    items = [statement("a", "dog"), statement("b", "dog", at=9), statement("c", "hound", at=9)]
    assert labels(*items, event, restored(10, event)) == labels(*items)


def test_the_names_in_the_settings_follow_a_rename_until_they_are_written_again() -> None:
    items = [statement("a", "dog"), statement("b", "cat"), renamed(1, "hound", "dog")]
    for names in (("cat", "dog"), ("cat", "hound"), ("cat", "dog", "hound")):
        schema = LabelSchema(names=names)
        view = view_of(label_rows(items, MULTI), schema)
        assert view.schema.names == ("cat", "hound")
        assert view.aliases == {"dog": "hound"}
        assert labels(*items, schema=schema) == {"a": ["hound"], "b": ["cat"]}
        assert judge_labels(label_rows(items, MULTI), schema).rejected.num_rows == 0


def test_a_variant_of_a_name_in_the_settings_is_renamed_with_it() -> None:
    items = [statement("a", "Dog"), statement("b", "dog"), renamed(1, "hound", "dog")]
    schema = LabelSchema(names=("cat", "dog"))
    assert labels(*items, schema=schema) == {"a": ["hound"], "b": ["hound"]}


def test_what_a_model_said_under_the_old_name_is_compared_with_the_new_one() -> None:
    model = PredictionOrigin(model_version="m", labels=("dog",), confidence=0.9)
    items = [clicked("a", "dog", prediction=model), renamed(1, "hound", "dog")]
    (row,) = counted(label_rows(items, MULTI), ANY).rows.to_pylist()
    assert (row["labels"], row["prelabel"]) == (["hound"], ["hound"])


# --- withdrawals ---------------------------------------------------------------------------


def test_what_a_source_said_until_then_counts_no_more_and_what_it_says_later_does() -> None:
    other = {"annotation_id": "raw/set-2/a.png"}
    items = [statement("a", "cat"), statement("b", "dog"), statement("a", "dog", at=2, **other)]
    event = withdrawn(5, source="set")
    assert labels(*items, event) == {"a": ["dog"]}
    assert labels(*items, event, statement("b", "dog", at=6)) == {"a": ["dog"], "b": ["dog"]}
    assert labels(*items, event, restored(7, event)) == labels(*items)
    assert labels(*items, withdrawn(5, source="set-2")) == {"a": ["cat"], "b": ["dog"]}
    assert labels(*items, withdrawn(5, source="se")) == labels(*items)


@pytest.mark.parametrize("source", ["label_studio", "label_studio:bea"])
def test_an_annotator_can_be_taken_back(source: str) -> None:
    items = [statement("a", "cat"), clicked("a", "dog", at=1), clicked("b", "dog", at=1)]
    assert labels(*items) == {"a": ["dog"], "b": ["dog"]}
    assert labels(*items, withdrawn(5, source=source)) == {"a": ["cat"]}
    changed = clicked("b", "fox", at=6)  # the same annotation, saved again
    assert labels(*items, withdrawn(5, source=source), changed) == {"a": ["cat"], "b": ["fox"]}
    deleted = clicked("b", at=6, cancelled=True)
    assert labels(*items, withdrawn(5, source=source), deleted) == {"a": ["cat"]}


def test_a_class_is_taken_back_by_the_name_that_it_had() -> None:
    items = [statement("a", "dog"), statement("b", "cat"), renamed(5, "hound", "dog")]
    assert labels(*items, withdrawn(6, label="hound")) == {"b": ["cat"]}
    assert labels(*items, withdrawn(4, label="hound")) == {"a": ["hound"], "b": ["cat"]}
    assert labels(*items, withdrawn(4, label="dog"), statement("c", "dog", at=8)) == {
        "b": ["cat"],
        "c": ["hound"],
    }


def test_of_several_labels_one_is_taken_back_and_none_is_left_for_a_negative() -> None:
    items = [statement("a", "dog", "wet"), statement("b", "wet"), statement("c", "dog")]
    assert labels(*items, withdrawn(5, label="wet"), schema=MULTI) == {"a": ["dog"], "c": ["dog"]}


def test_all_that_is_given_has_to_fit() -> None:
    items = [
        statement("a", "dog"),
        statement("b", "dog"),
        statement("c", "cat"),
        clicked("d", "dog"),
    ]
    event = withdrawn(5, source="set", label="dog", images=("a" * 64, "c" * 64))
    assert labels(*items, event) == {"b": ["dog"], "c": ["cat"], "d": ["dog"]}
    found = counted(label_rows([*items, event], MULTI), ANY)
    assert found.withdrawn["sha256"].to_pylist() == ["a" * 64]


# --- versions ------------------------------------------------------------------------------


def test_without_events_nothing_changes() -> None:
    table = label_rows(
        [statement("a", "cat"), statement("b", "dog"), statement("b", "bad", at=-1)], MULTI
    )
    assert counted(table, ANY).rows is table
    assert view_of(table, LabelSchema(names=("cat", "dog"))).version == VERSION_BEFORE


def test_the_same_events_give_the_same_version_and_others_another() -> None:
    items = [statement("a", "cat"), statement("b", "dog")]
    event = renamed(5, "hound", "dog")

    def version(*more: Item) -> str:
        return view_of(label_rows([*items, *more], MULTI), ANY).version

    assert version(event) == version(event)
    assert len({version(), version(event), version(withdrawn(5, source="set"))}) == 3
    assert version(event, restored(6, event)) == version()


def test_a_home_whose_table_is_from_before_events_is_read() -> None:
    table = label_rows([statement("a", "cat")], MULTI)
    index = table.schema.get_field_index("event")
    old = table.set_column(index, "event", pa.nulls(1, pa.string()))
    assert view_of(old, ANY).labels == {"a" * 64: ["cat"]}
