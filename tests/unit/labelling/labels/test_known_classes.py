"""What a source is compared with: the classes of the home, by the names that they have now."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from assets.annotations.label_index import index_snapshots, labels_table
from assets.annotations.label_names import known_classes
from labelling.labels.events import Rename, event_key, to_json
from labelling.labels.known_classes import KnownClasses
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import AnnotationSnapshot, ingested_key
from labelling.sources.read import read_source
from labelling.sources.reading import Reading
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def say(store: ObjectStore, number: int, *labels: str) -> None:
    snapshot = AnnotationSnapshot(
        sha256=f"{number:064x}",
        labels=labels,
        annotator="ann",
        source="ingest",
        annotated_at=datetime(2026, 1, 1, tzinfo=UTC),
        annotation_id="",
    )
    store.put(ingested_key(snapshot), snapshot.to_json())


def read(tmp_path: Path, known: KnownClasses, *classes: str) -> Reading:
    for name in classes:
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.jpg").write_bytes(b"")
    return read_source(tmp_path / "set", known=known)


def test_classes_are_known_whether_or_not_the_table_has_them(store: ObjectStore) -> None:
    assert known_classes(store, LabelSchema()).labels == frozenset()
    say(store, 1, "cat")
    index_snapshots(store, labels_table(store))
    for number in range(2, 5):
        say(store, number, "dog")
    say(store, 5, "fox", "wet")
    assert known_classes(store, LabelSchema()).labels == {"cat", "dog", "fox", "wet"}
    event = Rename(at=datetime.now(UTC), by="me", old=("dog",), new="hound")
    store.put(event_key(event), to_json(event))
    names = LabelSchema(names=("cat", "dog", "owl"))
    assert known_classes(store, names).labels == {"cat", "hound", "owl", "fox", "wet"}


def test_a_new_class_that_looks_like_a_known_one_is_asked_about(tmp_path: Path) -> None:
    found = read(tmp_path, KnownClasses(frozenset({"cat", "owl"})), "Cat", "dog", "owl")
    (doubt,) = found.doubts
    assert "'Cat' / 'cat' (upper and lower case)" in doubt.question
    assert "imgclf labels merge" in dict(doubt.answers)["--yes"]


def test_classes_that_are_known_are_asked_about_no_more(tmp_path: Path) -> None:
    assert not read(tmp_path, KnownClasses(frozenset({"cat", "Cat"})), "Cat", "cat").doubts


def test_a_variant_of_a_listed_name_and_a_former_name_are_taken_for_it_and_that_is_reported(
    tmp_path: Path,
) -> None:
    known = KnownClasses(
        frozenset({"cat", "hound"}),
        LabelSchema(names=("cat", "dog")),
        LabelSchema(names=("cat", "hound")),
        {"dog": "hound"},
    )
    found = read(tmp_path, known, "CAT", "dog")
    assert not found.doubts
    assert [text.partition(":")[0] for text in found.warnings] == [
        "CAT is taken for cat",
        "dog is taken for hound",
    ]
