"""The labels that count, as the data set and the queue see them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from assets.annotations.label_index import labels_version, view_of
from labelling.labels.consensus import CONFLICTS_SCHEMA, Decisions
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import AnnotationSnapshot, ingested_key
from labelling.labels.table import LABELS_SCHEMA, label_rows

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = LabelSchema(names=("cat", "dog"))


def statement(*labels: str, minutes: int, **fields: Any) -> tuple[str, bytes]:
    given: dict[str, Any] = {
        "sha256": "a" * 64,
        "labels": labels,
        "annotator": "ann",
        "source": "ingest",
        "annotated_at": START + timedelta(minutes=minutes),
        "annotation_id": str(minutes),
    }
    snapshot = AnnotationSnapshot(**(given | fields))
    return ingested_key(snapshot), snapshot.to_json()


def test_whose_label_counts_said_so_though_somebody_skipped_the_image_later() -> None:
    skipped = {"source": "label_studio", "annotator": "label_studio:1", "unique_id": "1" * 32}
    rows = label_rows(
        [statement("cat", minutes=0), statement(minutes=5, skipped=True, **skipped)], SCHEMA
    )
    view = view_of(rows, SCHEMA)
    assert view.labels == {"a" * 64: ["cat"]}
    assert view.origins == {"a" * 64: ("ingest", START)}


def test_a_conflict_that_comes_or_goes_makes_another_version() -> None:
    none = Decisions(LABELS_SCHEMA.empty_table(), CONFLICTS_SCHEMA.empty_table())
    conflicts = {
        image: pa.Table.from_pylist([{"sha256": image}], schema=CONFLICTS_SCHEMA)
        for image in ("a" * 64, "b" * 64)
    }
    versions = {labels_version(none, LABELS_SCHEMA.empty_table())}
    for found in conflicts.values():
        versions.add(labels_version(Decisions(none.labels, found), LABELS_SCHEMA.empty_table()))
    assert len(versions) == 3
