"""What counts when several people say things of an image, change them and take them back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.label_index import usable_labels, view_of
from labelling.conflicts import find_conflicts
from labelling.consensus import decide, newest_snapshots, vote
from labelling.schema import LabelSchema
from labelling.table import LABELS_SCHEMA, current_labels

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
SINGLE = LabelSchema(names=("cat", "dog", "fox"))
MULTI = LabelSchema(task="multi_label")


def row(image: str, *labels: str, by: str = "", at: float = 0, **other: Any) -> dict[str, Any]:
    """What ``by`` says in Label Studio, in the annotation ``of``; without ``by`` an ingest does."""
    annotation = other.pop("of", f"{image}-{by}")
    return {
        "snapshot_key": f"annotations/{image}-{by}-{annotation}-{at:09.3f}-{'|'.join(labels)}",
        "sha256": image,
        "labels": list(labels),
        "status": "ok",
        "reason": "",
        "annotator": by or "ingest",
        "source": "label_studio" if by else "ingest",
        "annotated_at": START + timedelta(seconds=at),
        "annotation_id": "1",
        "cancelled": False,
        "unique_id": annotation if by else None,
        "skipped": False if by else None,
        **other,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=LABELS_SCHEMA)


def counted(*rows: dict[str, Any], schema: LabelSchema = SINGLE) -> dict[str, list[str]]:
    current = current_labels(table(*rows), schema.task)
    assert current.schema.equals(LABELS_SCHEMA)
    return {item["sha256"]: item["labels"] for item in current.to_pylist()}


def disputed(*rows: dict[str, Any], schema: LabelSchema = SINGLE) -> dict[str, str]:
    found = find_conflicts(table(*rows), schema.task).to_pylist()
    return {item["sha256"]: item["reason"].partition(" (")[0] for item in found}


def test_an_annotation_says_what_its_newest_snapshot_says():
    first, second = row("a", "cat", by="ann"), row("a", "dog", by="ann", at=1)
    assert counted(first, second) == {"a": ["dog"]}
    assert counted(second, first) == {"a": ["dog"]}
    taken_back = row("a", by="ann", at=2, cancelled=True)
    assert counted(first, second, taken_back) == {}
    assert counted(first, second, taken_back, row("a", "fox", by="ann", at=3)) == {"a": ["fox"]}
    assert disputed(first, second) == {}


def test_what_is_deleted_or_skipped_leaves_what_else_was_said():
    ingested, said = row("a", "cat"), row("a", "dog", by="ann", at=1)
    assert counted(ingested, said) == {"a": ["dog"]}
    assert counted(ingested, said, row("a", by="ann", at=2, cancelled=True)) == {"a": ["cat"]}
    assert counted(ingested, row("a", by="ann", at=2, skipped=True)) == {"a": ["cat"]}
    assert counted(row("a", by="ann", skipped=True)) == {}
    other = row("a", "fox", by="bea", at=1)
    assert counted(said, other, row("a", by="ann", at=2, cancelled=True)) == {"a": ["fox"]}


def test_between_people_and_ingest_the_later_word_wins():
    said = row("a", "dog", by="ann", at=5)
    assert counted(said, row("a", "cat", at=4)) == {"a": ["dog"]}
    assert counted(said, row("a", "cat", at=6)) == {"a": ["cat"]}
    assert counted(said, row("a", at=6, cancelled=True)) == {}
    assert disputed(said, row("a", "cat", at=4)) == {}
    assert disputed(said, row("a", "cat", at=5)) == {"a": "labelled differently in the same ingest"}
    assert disputed(said, row("a", "dog", at=5)) == {}


def test_the_majority_counts_and_a_tie_is_a_conflict():
    ann, bea, cem = (row("a", "cat", by="ann", at=9), row("a", "dog", by="bea"),
                     row("a", "dog", by="cem", at=1))  # fmt: skip
    assert counted(ann, bea, cem) == {"a": ["dog"]}
    assert disputed(ann, bea, cem) == {}
    assert disputed(ann, bea) == {"a": "annotators disagree"}
    assert disputed(ann, bea, row("a", "fox", at=10)) == {}  # an ingest has the last word
    (found,) = find_conflicts(table(ann, bea)).to_pylist()
    assert (found["labels_a"], found["labels_b"], found["different"]) == (["cat"], ["dog"], 2)
    assert {found["snapshot_a"], found["snapshot_b"]} == {ann["snapshot_key"], bea["snapshot_key"]}


def test_a_second_annotation_of_the_same_person_is_a_change_of_mind():
    assert counted(row("a", "cat", by="ann", of="1"), row("a", "dog", by="ann", of="2", at=1)) == {
        "a": ["dog"]
    }


def test_of_several_labels_each_needs_more_than_half():
    ann, bea = row("a", "wet", "red", by="ann"), row("a", "red", by="bea", at=1)
    cem = row("a", "wet", "tall", by="cem", at=2)
    assert counted(ann, bea, cem, schema=MULTI) == {"a": ["red", "wet"]}
    assert disputed(ann, bea, cem, schema=MULTI) == {}
    assert disputed(ann, bea, schema=MULTI) == {"a": "annotators disagree"}  # wet: one of two
    three = [row("b", name, by=name) for name in ("x", "y", "z")]
    assert disputed(*three, schema=MULTI) == {"b": "annotators disagree"}  # no label is left


def test_an_annotation_that_became_unusable_counts_no_more():
    rows = table(
        row("a", "cat", by="ann"),
        row("a", "zebra", by="ann", at=1),
        row("b", "zebra", by="ann"),
        row("b", "dog", by="ann", at=1),
    )
    usable, rejected = usable_labels(rows, SINGLE)
    assert rejected["sha256"].to_pylist() == ["a"]  # b's was put right
    assert view_of(rows, SINGLE).labels == {"b": ["dog"]}


def test_rows_from_before_label_studio_count_as_ever():
    old = table(row("a", "cat"), row("a", "dog", at=1)).select(LABELS_SCHEMA.names[:10])
    for field in list(LABELS_SCHEMA)[10:]:
        old = old.append_column(field, pa.nulls(old.num_rows, field.type))
    assert current_labels(old)["labels"].to_pylist() == [["dog"]]


statements = st.lists(
    st.builds(
        lambda image, labels, by, at, silent: row(
            image,
            *([] if silent else labels),
            by=by,
            at=at,
            cancelled=silent == "cancelled",
            skipped=silent == "skipped" and bool(by),
        ),  # fmt: skip
        st.sampled_from("ab"),
        st.lists(st.sampled_from(["cat", "dog", "fox"]), min_size=1, max_size=2, unique=True),
        st.sampled_from(["", "ann", "bea", "cem"]),
        st.integers(0, 6),
        st.sampled_from(["", "", "", "cancelled", "skipped"]),
    ).filter(lambda item: item["labels"] or item["cancelled"] or item["skipped"]),
    max_size=12,
    unique_by=lambda item: item["snapshot_key"],
)


@settings(max_examples=150, deadline=None)
@given(
    statements, st.randoms(use_true_random=False), st.sampled_from(["single_label", "multi_label"])
)
def test_neither_order_nor_repetition_changes_what_counts(rows, random, task):
    def outcome(items: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
        decisions = decide(table(*items), task)
        current = decisions.labels.select(["sha256", "labels", "snapshot_key"])
        return current.to_pylist(), decisions.conflicts.to_pylist()

    expected = outcome(rows)
    shuffled = random.sample(rows, len(rows))
    assert outcome(shuffled) == expected
    assert outcome([*rows, *shuffled]) == expected
    newest = newest_snapshots(table(*rows))
    assert outcome(newest.to_pylist()) == expected
    assert newest_snapshots(newest).num_rows == newest.num_rows


@given(st.lists(st.frozensets(st.sampled_from("xyz"), min_size=1), min_size=1, max_size=7))
def test_one_more_voice_for_what_was_chosen_changes_nothing(said):
    for task in ("single_label", "multi_label"):
        chosen, contradicted = vote(said, task)
        if not contradicted:
            assert vote([*said, chosen], task) == (chosen, False)


def test_a_hundred_thousand_statements_are_decided():
    rows = table(
        *(row(f"{n:06d}", "cat", at=n) for n in range(40_000)),
        *(row(f"{n:06d}", "dog", by=by, at=n + 1) for n in range(30_000) for by in ("ann", "bea")),
    )
    assert decide(rows).labels.num_rows == 40_000
