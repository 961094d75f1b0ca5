"""Which label of an image counts, and when two contradict each other."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from labelling.labels.consensus import decide
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import (
    AnnotationSnapshot,
    SnapshotError,
    ingested_key,
    parse_ingested_key,
    parse_snapshot,
)
from labelling.labels.table import LABELS_SCHEMA, label_rows, recheck

pytestmark = pytest.mark.unit

START = datetime(2025, 1, 1, tzinfo=UTC)
SCHEMA = LabelSchema(names=("cat", "dog"))


def statement(image: str, *labels: str, at: float = 0, **other: object) -> tuple[str, bytes]:
    snapshot = AnnotationSnapshot(
        sha256=image * 64,
        labels=labels,
        annotator="ann",
        source="ingest",
        annotated_at=START + timedelta(seconds=at),
        annotation_id="1",
        **other,
    )
    return ingested_key(snapshot), snapshot.to_json()


def counted(*snapshots: tuple[str, bytes]) -> dict[str, list[str]]:
    current = decide(label_rows(snapshots, SCHEMA)).labels
    assert current.schema.equals(LABELS_SCHEMA)
    return {row["sha256"][0]: row["labels"] for row in current.to_pylist()}


def test_a_snapshot_is_read_back_in_utc_whatever_its_zone():
    key, data = statement("a", "cat")
    assert parse_snapshot(data, key).to_json() == data
    fields = json.loads(data) | {"annotated_at": "2025-01-01T02:00:00+02:00"}
    assert parse_snapshot(json.dumps(fields).encode(), key).annotated_at == START
    plus_two = AnnotationSnapshot(
        **{**fields, "annotated_at": START.astimezone(timezone(timedelta(hours=2)))}
    )
    assert parse_ingested_key(ingested_key(plus_two)) == parse_ingested_key(key)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "JSON"),
        (b"[1]", "object"),
        (b"{}", "labels: Field required"),
        (statement("a", "cat")[1].replace(b'"note"', b'"nota"'), "nota"),
        (statement("a", "cat")[1].replace(b"aaaa", b"AAAA"), "sha256"),
        (statement("a", "cat")[1].replace(b"00:00Z", b"00:00"), "annotated_at"),
    ],
)
def test_what_is_no_snapshot_is_named_with_its_key_and_counts_as_rejected(data, named):
    with pytest.raises(SnapshotError, match=f"annotations/x.json.*{named}"):
        parse_snapshot(data, "annotations/x.json")
    rows = label_rows([("annotations/x.json", data), statement("a", "cat")], SCHEMA).to_pylist()
    assert [row["status"] for row in rows] == ["rejected", "ok"]
    assert named in rows[0]["reason"]


def test_the_latest_usable_label_counts():
    assert counted(statement("a", "cat"), statement("a", "dog", at=1)) == {"a": ["dog"]}
    assert counted(statement("a", "dog", at=1), statement("a", "cat")) == {"a": ["dog"]}
    assert counted(statement("a", "cat"), statement("a", "cow", at=1)) == {"a": ["cat"]}
    assert counted(statement("a", "cow")) == {}
    assert counted() == {}


def test_a_cancelled_label_withdraws_the_image_until_it_is_labelled_again():
    taken_back = statement("a", at=1, cancelled=True)
    assert counted(statement("a", "cat"), taken_back) == {}
    assert counted(statement("a", "cat"), taken_back, statement("a", "dog", at=2)) == {"a": ["dog"]}


def test_different_labels_at_the_same_latest_time_are_a_conflict_until_a_later_one():
    def conflicts(*snapshots: tuple[str, bytes]) -> list[str]:
        return [
            row["sha256"][0] for row in decide(label_rows(snapshots, SCHEMA)).conflicts.to_pylist()
        ]

    pair = statement("a", "cat"), statement("a", "dog")
    assert conflicts(*pair, statement("b", "cat")) == ["a"]
    assert conflicts(*pair, statement("a", "dog", at=1)) == []
    assert conflicts(*pair, statement("a", "cow", at=1)) == ["a"]  # unusable: resolves nothing
    assert conflicts(*pair, statement("a", at=1, cancelled=True)) == []
    assert conflicts(statement("a", "cat"), statement("a", "dog", at=1)) == []
    assert conflicts() == []
    row = decide(label_rows(pair, SCHEMA)).conflicts.to_pylist()[0]
    assert (row["labels_a"], row["labels_b"], row["different"]) == (["cat"], ["dog"], 2)
    assert {row["snapshot_a"], row["snapshot_b"]} == {key for key, _ in pair}


def test_the_order_of_labels_is_no_conflict():
    schema = LabelSchema(task="multi_label")
    one, other = statement("a", "cat", "dog"), statement("a", "dog", "cat")
    assert one[0] == other[0]
    rows = label_rows([one, ("annotations/other.json", other[1])], schema)
    assert decide(rows).conflicts.num_rows == 0


def test_a_table_can_be_rechecked_under_another_schema():
    snapshots = [statement("a", "cat"), statement("b", "cow"), ("annotations/x.json", b""),
                 statement("c", at=1, cancelled=True)]  # fmt: skip
    table = label_rows(snapshots, SCHEMA)
    assert recheck(table, SCHEMA).equals(table)
    cows = LabelSchema(names=("cow",))
    assert recheck(table, cows).equals(label_rows(snapshots, cows))
    assert isinstance(recheck(LABELS_SCHEMA.empty_table(), SCHEMA), pa.Table)
