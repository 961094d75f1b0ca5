"""The view of the labels that count, read from a store without the columns that it does not need."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.annotations.label_index import labelled_view, labels_table, view_of
from labelling.labels.events import Withdrawal, event_key, to_json
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import AnnotationSnapshot, ingested_key
from labelling.labels.table import label_rows
from object_store.contents.tables import Table
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 3, 2, 12, tzinfo=UTC)
IMAGES = [f"{number:064x}" for number in range(4)]
SCHEMA = LabelSchema()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """Labels of two sources: ``raw/one/`` and ``raw/two/``."""
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    given = []
    for number, image in enumerate(IMAGES):
        snapshot = AnnotationSnapshot(
            sha256=image,
            labels=("cat",),
            annotator="ingest",
            source="ingest",
            annotated_at=BEGAN,
            annotation_id=f"raw/{'one' if number < 2 else 'two'}/{number}.png",
        )
        given.append((ingested_key(snapshot), snapshot.to_json()))
    labels_table(store).append(label_rows(given, SCHEMA))
    return store


def withdraw(store: ObjectStore, number: int, **fields: str) -> None:
    event = Withdrawal(by="me", at=BEGAN + timedelta(hours=1 + number), number=number, **fields)
    labels_table(store).append(label_rows([(event_key(event), to_json(event))], SCHEMA))


def test_labels_of_a_source_are_withdrawn_by_where_they_were_ingested(store: ObjectStore) -> None:
    assert set(labelled_view(store, SCHEMA).labels) == set(IMAGES)
    withdraw(store, 1, source="one")
    view = labelled_view(store, SCHEMA)
    assert set(view.labels) == set(IMAGES[2:])
    assert view.version == view_of(labels_table(store).read(), SCHEMA).version


def test_where_a_label_was_ingested_is_read_only_for_that(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = Table.read

    def noted(self: Table, columns: list[str] | None = None) -> object:
        asked.extend(columns or ())
        return read(self, columns)

    monkeypatch.setattr(Table, "read", noted)
    withdraw(store, 1, label="dog")
    labelled_view(store, SCHEMA)
    assert "annotation_id" not in asked
    withdraw(store, 2, source="two")
    labelled_view(store, SCHEMA)
    assert "annotation_id" in asked
