"""What counts when several people say things of an image, change them and take them back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.annotations.label_index import judge_labels, view_of
from labelling.labels.consensus import (
    CONFLICTS_SCHEMA,
    _decide_contested,
    annotations_only,
    decide,
    live_annotations,
    newest_snapshots,
    newest_vote_by_annotator,
    vote,
)
from labelling.labels.schema import LabelSchema
from labelling.labels.table import LABELS_SCHEMA

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
    current = decide(table(*rows), schema.task).labels
    assert current.schema.equals(LABELS_SCHEMA)
    return {item["sha256"]: item["labels"] for item in current.to_pylist()}


def disputed(*rows: dict[str, Any], schema: LabelSchema = SINGLE) -> dict[str, str]:
    found = decide(table(*rows), schema.task).conflicts.to_pylist()
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
    ingested, answer = row("a", "cat"), row("a", "dog", by="ann", at=1)
    assert counted(ingested, answer) == {"a": ["dog"]}
    assert counted(ingested, answer, row("a", by="ann", at=2, cancelled=True)) == {"a": ["cat"]}
    assert counted(ingested, row("a", by="ann", at=2, skipped=True)) == {"a": ["cat"]}
    assert counted(row("a", by="ann", skipped=True)) == {}
    other = row("a", "fox", by="bea", at=1)
    assert counted(answer, other, row("a", by="ann", at=2, cancelled=True)) == {"a": ["fox"]}


def test_between_people_and_ingest_the_later_word_wins():
    answer = row("a", "dog", by="ann", at=5)
    assert counted(answer, row("a", "cat", at=4)) == {"a": ["dog"]}
    assert counted(answer, row("a", "cat", at=6)) == {"a": ["cat"]}
    assert counted(answer, row("a", at=6, cancelled=True)) == {}
    assert disputed(answer, row("a", "cat", at=4)) == {}
    assert disputed(answer, row("a", "cat", at=5)) == {
        "a": "labelled differently in the same ingest"
    }
    assert disputed(answer, row("a", "dog", at=5)) == {}


def test_the_majority_counts_and_a_tie_is_a_conflict():
    ann, bea, cem = (row("a", "cat", by="ann", at=9), row("a", "dog", by="bea"),
                     row("a", "dog", by="cem", at=1))  # fmt: skip
    assert counted(ann, bea, cem) == {"a": ["dog"]}
    assert disputed(ann, bea, cem) == {}
    assert disputed(ann, bea) == {"a": "annotators disagree"}
    assert disputed(ann, bea, row("a", "fox", at=10)) == {}  # an ingest has the last word
    (found,) = decide(table(ann, bea)).conflicts.to_pylist()
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
    assert judge_labels(rows, SINGLE).rejected["sha256"].to_pylist() == ["a"]  # b's was put right
    assert view_of(rows, SINGLE).labels == {"b": ["dog"]}


def test_rows_from_before_label_studio_count_as_ever():
    old = table(row("a", "cat"), row("a", "dog", at=1)).select(LABELS_SCHEMA.names[:10])
    for field in list(LABELS_SCHEMA)[10:]:
        old = old.append_column(field, pa.nulls(old.num_rows, field.type))
    assert decide(old).labels["labels"].to_pylist() == [["dog"]]


statements = st.lists(
    st.builds(
        lambda image, labels, by, at, silent: row(
            image,
            *([] if silent else labels),
            by=by,
            at=at,
            cancelled=silent == "cancelled",
            skipped=silent == "skipped" and bool(by),
        ),
        st.sampled_from("abcd"),
        st.lists(st.sampled_from(["cat", "dog", "fox"]), min_size=1, max_size=2, unique=True),
        st.sampled_from(["", "ann", "bea", "cem"]),
        st.integers(0, 6),
        st.sampled_from(["", "", "", "cancelled", "skipped"]),
    ).filter(lambda item: item["labels"] or item["cancelled"] or item["skipped"]),
    min_size=8,  # without it Hypothesis draws five on average, and few images are contested
    max_size=24,
    unique_by=lambda item: item["snapshot_key"],
)


@settings(max_examples=50, deadline=None)
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
    # Also of equal rows neither the first ones nor the last ones come in the order of `rows`.
    assert outcome([*shuffled, *reversed(shuffled)]) == expected
    newest = newest_snapshots(table(*rows))
    assert outcome(newest.to_pylist()) == expected
    assert newest_snapshots(newest).num_rows == newest.num_rows


@given(st.lists(st.frozensets(st.sampled_from("xyz"), min_size=1), min_size=1, max_size=7))
def test_one_more_voice_for_what_was_chosen_changes_nothing(label_sets):
    for task in ("single_label", "multi_label"):
        chosen, contradicted = vote(label_sets, task)
        if not contradicted:
            assert vote([*label_sets, chosen], task) == (chosen, False)


def for_each_image(count: int, statement: dict[str, Any]) -> pa.Table:
    """The same statement of ``count`` images."""
    rows = table(statement).take(pa.array([0] * count))
    names = pa.array([f"{n:06d}" for n in range(count)])
    for column in ("sha256", "snapshot_key", "unique_id"):
        given = pc.binary_join_element_wise(names, rows[column].combine_chunks(), "-")
        value = names if column == "sha256" else given
        rows = rows.set_column(rows.schema.get_field_index(column), column, value)
    return rows.cast(LABELS_SCHEMA)


def test_a_hundred_thousand_statements_are_decided():
    rows = pa.concat_tables(
        [
            for_each_image(40_000, row("", "cat")),
            for_each_image(30_000, row("", "dog", by="ann", at=1)),
            for_each_image(30_000, row("", "dog", by="bea", at=1)),
        ]
    )
    decided = decide(rows).labels
    assert decided.num_rows == 40_000
    assert pc.list_flatten(decided["labels"]).to_pylist() == ["dog"] * 30_000 + ["cat"] * 10_000


def test_half_of_the_voices_is_not_more_than_half():
    texts = [frozenset({"cat", "dog"}), frozenset({"cat"})]
    assert vote(texts, "multi_label") == (frozenset({"cat"}), True)


def test_a_later_ingest_is_the_later_word_and_no_conflict():
    rows = [row("a", "cat", at=1), row("a", "dog", at=2)]
    assert counted(*rows) == {"a": ["dog"]}
    assert disputed(*rows) == {}
    assert disputed(row("a", "cat", at=1), row("a", "dog", at=1)) != {}


def test_a_rejected_row_of_an_ingest_counts_for_nothing():
    rejected = row("a", "dog", at=2, status="rejected", reason="unknown label")
    for rows in ([row("a", "cat", at=1), rejected], [rejected]):
        decided = decide(table(*rows), "single_label")
        assert decided.labels["labels"].to_pylist() == [["cat"]][: len(rows) - 1]


def test_a_conflict_is_told_with_both_snapshots_and_the_time_of_the_newest():
    bea, ann = row("b", "dog", by="bea", at=1), row("b", "cat", by="ann", at=7)
    first, second = row("a", "fox", at=3), row("a", "cat", at=3)
    third = row("a", "dog", at=3)
    decided = decide(table(bea, ann, first, second, third))
    assert decided.conflicts.schema == CONFLICTS_SCHEMA
    assert decided.conflicts.to_pylist() == [
        {
            "sha256": "a",
            "labels_a": ["cat"],
            "labels_b": ["dog"],
            "snapshot_a": second["snapshot_key"],
            "snapshot_b": third["snapshot_key"],
            "annotated_at": START + timedelta(seconds=3),
            "different": 3,
            "reason": "labelled differently in the same ingest (label conflict)",
        },
        {
            "sha256": "b",
            "labels_a": ["cat"],
            "labels_b": ["dog"],
            "snapshot_a": ann["snapshot_key"],
            "snapshot_b": bea["snapshot_key"],
            "annotated_at": START + timedelta(seconds=7),
            "different": 2,
            "reason": "annotators disagree (label conflict)",
        },
    ]
    assert decided.labels["sha256"].to_pylist() == ["a", "b"]
    assert decided.labels["snapshot_key"].to_pylist()[1] == ann["snapshot_key"]
    assert decided.labels["labels"].to_pylist()[1] == ["cat"], "of a tie, the first by name"


def test_what_counts_is_the_newest_row_with_the_labels_that_were_voted():
    rows = [
        row("a", "cat", by="ann", at=9),
        row("a", "dog", by="bea"),
        row("a", "dog", by="cem", at=1),
        row("b", "fox", "cat", at=2),
        row("c", "cat", by="ann"),
    ]
    decided = decide(table(*rows))
    assert decided.labels.schema.equals(LABELS_SCHEMA)
    assert [
        (found["sha256"], found["labels"], found["snapshot_key"])
        for found in decided.labels.to_pylist()
    ] == [
        ("a", ["dog"], rows[0]["snapshot_key"]),
        ("b", ["fox", "cat"], rows[3]["snapshot_key"]),
        ("c", ["cat"], rows[4]["snapshot_key"]),
    ]
    assert decided.conflicts.num_rows == 0


def test_the_order_that_a_person_gave_stays_where_the_vote_agrees():
    (found,) = decide(table(row("a", "wet", "red", by="ann")), "multi_label").labels.to_pylist()
    assert found["labels"] == ["wet", "red"]


def test_one_image_that_is_withdrawn_leaves_the_others():
    rows = [row("a", at=1, cancelled=True), row("b", "cat"), row("c", at=1, cancelled=True)]
    assert counted(*rows) == {"b": ["cat"]}
    again = [row("a", "dog", at=0), *rows, row("c", "fox", at=2)]
    assert counted(*again) == {"b": ["cat"], "c": ["fox"]}


def test_words_of_the_same_time_contradict_each_other_and_are_all_told():
    answer, ingested = row("a", "dog", by="ann", at=5), row("a", "cat", at=5)
    (found,) = decide(table(answer, ingested)).conflicts.to_pylist()
    assert (found["labels_a"], found["labels_b"], found["different"]) == (["cat"], ["dog"], 2)
    assert counted(answer, ingested) == {"a": ["dog"]}, "a person's is the better guess"
    other = row("a", "fox", by="bea", at=5)
    (found,) = decide(table(answer, other, ingested)).conflicts.to_pylist()
    assert (found["different"], found["reason"]) == (3, "annotators disagree (label conflict)")
    assert disputed(answer, row("a", at=5, cancelled=True)) == {}
    assert counted(answer, row("a", at=5, cancelled=True)) == {"a": ["dog"]}


def test_an_ingest_that_takes_back_at_the_time_of_another_is_no_conflict():
    assert disputed(row("a", "cat", at=1), row("a", at=1, cancelled=True)) == {}
    assert disputed(row("a", "cat", at=1), row("a", "cat", at=1, annotation_id="2")) == {}


def test_of_two_voices_that_say_the_same_the_first_snapshot_is_told():
    ann, bea = row("a", "cat", by="ann", at=1), row("a", "cat", by="bea", at=2)
    cem, dan = row("a", "dog", by="cem", at=1), row("a", "dog", by="dan", at=2)
    (found,) = decide(table(dan, bea, cem, ann)).conflicts.to_pylist()
    assert (found["snapshot_a"], found["snapshot_b"]) == (
        ann["snapshot_key"],
        cem["snapshot_key"],
    )


def test_the_snapshots_of_an_annotation_are_one_and_what_stands_is_live():
    first, second = row("a", "cat", by="ann"), row("a", "dog", by="ann", at=1)
    deleted = row("b", by="ann", at=1, cancelled=True)
    skipped, rejected = row("c", by="ann", skipped=True), row("d", "x", by="ann", status="rejected")
    ingested = row("e", "cat")
    unknown = row("f", "cat", by="ann", cancelled=None, skipped=None)
    rows = table(first, ingested, second, deleted, skipped, rejected, unknown)

    def images_of(found: pa.Table) -> list[tuple[str, list[str]]]:
        return sorted((one["sha256"], one["labels"]) for one in found.to_pylist())

    annotations = [("a", ["dog"]), ("b", []), ("c", []), ("d", ["x"]), ("f", ["cat"])]
    assert images_of(newest_snapshots(rows)) == [*annotations[:4], ("e", ["cat"]), annotations[4]]
    assert images_of(annotations_only(rows)) == annotations
    assert images_of(live_annotations(rows)) == [("a", ["dog"]), ("f", ["cat"])]
    only_ingested = table(ingested)
    assert newest_snapshots(only_ingested) is only_ingested


def test_the_same_annotation_number_on_another_image_is_another_annotation():
    rows = table(row("a", "cat", by="ann", of="1"), row("b", "dog", by="ann", of="1", at=1))
    assert newest_snapshots(rows).num_rows == 2
    several = table(row("a", "cat", by="ann", of="1"), row("a", "dog", by="bea", of="2"))
    assert newest_snapshots(several).num_rows == 2


def test_snapshots_of_the_same_moment_are_taken_by_their_keys():
    rows = [row("a", label, by="ann", of="1", at=1) for label in ("dog", "cat")]
    assert counted(*rows) == {"a": ["dog"]}
    assert counted(*rows[::-1]) == {"a": ["dog"]}


def test_voices_are_statements_of_each_annotator():
    rows = table(
        row("b", "dog", by="bea", at=2),
        row("a", "cat", "dog", by="ann", at=1),
        row("a", "fox", by="ann", of="2", at=3),
        row("a", "cat", at=9),
    )
    found = newest_vote_by_annotator(rows)
    assert {image: list(text) for image, text in found.items()} == {"a": ["ann"], "b": ["bea"]}
    assert found["a"]["ann"]._asdict() == {
        "sha256": "a",
        "annotator": "ann",
        "labels": frozenset({"fox"}),
        "key": row("a", "fox", by="ann", of="2", at=3)["snapshot_key"],
        "at": int(START.timestamp() + 3) * 1_000_000,
        "cancelled": False,
        "position": 2,
    }
    assert newest_vote_by_annotator(table()) == {}


def label_sets(*labels: str) -> list[frozenset[str]]:
    return [frozenset(label) for label in labels]


def test_a_vote_of_one_label_is_won_by_the_most_and_a_tie_by_name():
    assert vote(label_sets("a", "a"), "single_label") == (frozenset("a"), False)
    assert vote(label_sets("b", "a", "b"), "single_label") == (frozenset("b"), False)
    assert vote(label_sets("c", "b", "b", "c", "a"), "single_label") == (frozenset("b"), True)
    assert vote(label_sets("ab", "b"), "single_label") == (frozenset("ab"), True)


def test_a_vote_of_several_labels_is_of_each():
    assert vote(label_sets("ab", "ab"), "multi_label") == (frozenset("ab"), False)
    assert vote(label_sets("ab", "a", "c"), "multi_label") == (frozenset("a"), False)
    assert vote(label_sets("ab", "a", "b"), "multi_label") == (frozenset("ab"), False)
    assert vote(label_sets("a", "b", "c"), "multi_label") == (frozenset(), True)
    assert vote(label_sets("ab", "ac", "ab", "ac"), "multi_label") == (frozenset("a"), True)


def test_a_person_s_last_word_is_at_its_own_time_among_several_people():
    early, late = row("a", "cat", by="ann", at=1), row("a", "dog", by="bea", at=9)
    third = row("a", "dog", by="cem", at=2)
    assert counted(early, late, third, row("a", "fox", at=8)) == {"a": ["dog"]}
    assert counted(early, late, third, row("a", "fox", at=10)) == {"a": ["fox"]}
    kept = decide(table(early, late, third)).labels.to_pylist()
    assert kept[0]["snapshot_key"] == late["snapshot_key"]


def test_rows_that_say_nothing_of_cancelled_count():
    assert counted(row("a", "cat", cancelled=None)) == {"a": ["cat"]}
    assert counted(row("a", "cat", by="ann", cancelled=None)) == {"a": ["cat"]}
    assert counted(row("a", "cat", unique_id="")) == {"a": ["cat"]}
    assert annotations_only(table(row("a", "cat", unique_id=""))).num_rows == 0


def standing(*rows: dict[str, Any]) -> list[str]:
    """Labels of the rejected rows that would count."""
    judged = judge_labels(table(*rows), SINGLE)
    return sorted("|".join(item["labels"]) for item in judged.standing.to_pylist())


def test_an_unknown_label_that_a_newer_word_supersedes_is_of_no_consequence():
    assert standing(row("a", "bad"), row("b", "bad", at=2), row("b", "cat")) == ["bad", "bad"]
    assert standing(row("a", "bad"), row("a", "cat", at=1)) == []
    assert standing(row("a", "bad"), row("a", "cat", by="ann", at=1)) == []
    assert standing(row("a", "bad", by="ann"), row("a", "cat", at=1)) == []
    assert standing(row("a", "bad", by="ann", at=2), row("a", "cat", at=1)) == ["bad"]
    assert standing(row("a", "bad", by="ann"), row("a", "cat", by="bea", at=1)) == ["bad"]
    assert standing(row("a", "bad", by="ann"), row("a", "cat", by="ann", at=1, of="z")) == []
    assert standing(row("a", "bad"), row("a", by="ann", at=1, skipped=True)) == ["bad"]
    assert standing(row("a", "bad"), row("a", "cat")) == ["bad"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cat", "bad"]),
            st.sampled_from(["", "ann", "bea"]),
            st.integers(0, 3),
            st.sampled_from(["1", "2"]),
            st.booleans(),
        ),
        max_size=6,
        unique_by=lambda item: (item[1], item[2], item[3]),
    )
)
def test_what_is_superseded_counts_for_nothing_even_if_it_is_known(label_sets):
    rows = [
        row("a", word, by=by, at=at, of=f"{by}{of}", cancelled=off and bool(by))
        for word, by, at, of, off in label_sets
    ]
    rows = [item | {"snapshot_key": f"{n}-{item['snapshot_key']}"} for n, item in enumerate(rows)]
    known = LabelSchema()
    whole = view_of(table(*rows), known).labels
    judged = judge_labels(table(*rows), SINGLE)
    kept = {item["snapshot_key"] for item in judged.standing.to_pylist()}
    over = {item["snapshot_key"] for item in judged.rejected.to_pylist()} - kept
    without = [item for item in rows if item["snapshot_key"] not in over]
    assert view_of(table(*without), known).labels == whole


# --- what is decided by columns is what is decided one by one ---------------------------------


def one_by_one(rows: pa.Table, task: Any) -> tuple[list[Any], list[Any]]:
    """What :func:`decide` comes to where every image is deliberated on, statement by statement."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    plain = []
    for item in rows.to_pylist():
        if not item["unique_id"]:
            plain.append(item)
            continue
        of = (item["sha256"], item["unique_id"])
        known = newest.get(of)
        if known is None or _time(known) <= _time(item):
            newest[of] = item
    left = [item for item in (*plain, *newest.values()) if item["status"] == "ok"]
    usable = pa.Table.from_pylist(sorted(left, key=_time), schema=LABELS_SCHEMA)
    places, voted, conflicts = _decide_contested(usable, task)
    found = usable.take(pa.array(places, pa.int64())).to_pylist()
    for place, chosen in voted.items():
        if chosen != set(found[place]["labels"]):
            found[place]["labels"] = sorted(chosen)
    return found, pa.Table.from_pylist(conflicts, schema=CONFLICTS_SCHEMA).to_pylist()


def _time(item: dict[str, Any]) -> tuple[datetime, str]:
    return item["annotated_at"], item["snapshot_key"]


many_statements = st.lists(
    st.builds(
        lambda image, labels, by, of, at, kind, nulls: row(
            image * 64,
            *labels,
            by=by,
            of=of,
            at=at,
            cancelled=None if nulls else kind == "cancelled",
            skipped=None if nulls else kind == "skipped" and bool(by),
            status="rejected" if kind == "rejected" else "ok",
        ),
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from(["cat", "dog", "a,b", ""]), max_size=2),
        st.sampled_from(["", "", "ann", "bea", "cem"]),
        st.sampled_from(["1", "2", "3"]),
        st.integers(0, 3),
        st.sampled_from(["", "", "", "", "cancelled", "skipped", "rejected"]),
        st.booleans(),
    ),
    min_size=12,  # without it Hypothesis draws five on average, and few images are contested
    max_size=36,
    unique_by=lambda item: item["snapshot_key"],
)


@settings(max_examples=60, deadline=None)
@example([], "single_label")
@example([row("a", "cat")], "single_label")
@example([row("a", "cat", by="ann")], "multi_label")
@given(many_statements, st.sampled_from(["single_label", "multi_label"]))
def test_deciding_by_columns_is_deciding_one_by_one(rows, task):
    decisions = decide(table(*rows), task)
    found, conflicts = one_by_one(table(*rows), task)
    assert decisions.labels.to_pylist() == found
    assert decisions.conflicts.to_pylist() == conflicts
