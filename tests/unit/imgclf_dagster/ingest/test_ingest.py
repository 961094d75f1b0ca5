"""An ingest takes what it can, names the rest, and may be repeated and interrupted at will."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from assets.annotations.label_changes import all_rows
from assets.annotations.label_index import view_of
from assets.policies import IngestionPolicy
from imgclf_dagster.ingest.ingest import IngestReport, ingest
from labelling.labels.consensus import decide
from labelling.labels.events import Rename, Withdrawal, event_key, to_json
from labelling.labels.known_classes import KnownClasses
from labelling.labels.schema import LabelSchema
from labelling.labels.table import label_rows
from labelling.sources.containers.litter import key_of_data, litter_of_key
from labelling.sources.read import read_source
from object_store.errors import StoreError
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

SINGLE = LabelSchema()


def png(colour: str, size: int = 8) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(sink, "PNG")
    return sink.getvalue()


RED, BLUE, GREEN = png("red"), png("blue"), png("green")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


@pytest.fixture
def take(tmp_path: Path, store: ObjectStore) -> Callable[..., IngestReport]:
    """Ingests a folder ``set`` of exactly these files."""

    def run(files: dict[str, bytes], schema: LabelSchema = SINGLE, **policy) -> IngestReport:
        source = tmp_path / "set"
        for old in sorted(source.rglob("*"), reverse=True):
            old.rmdir() if old.is_dir() else old.unlink()
        for name, data in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
        return ingest(
            read_source(source, known=KnownClasses(frozenset({"cat", "dog"}))),
            store=store,
            policy=IngestionPolicy(**policy),
            schema=schema,
        )

    return run


def labels(store: ObjectStore) -> tuple[list[list[str]], int]:
    """The labels that count, and how many images are in conflict."""
    snapshots = [(item.key, store.get(item.key)) for item in store.list("annotations/")]
    table = label_rows(snapshots, SINGLE)
    decisions = decide(table)
    return sorted(decisions.labels["labels"].to_pylist()), decisions.conflicts.num_rows


def keys(store: ObjectStore) -> list[str]:
    return [item.key for item in store.list("raw/")]


def test_images_and_labels_come_in_once_however_often(take, store):
    files = {"cat/1.png": RED, "dog/1.png": BLUE, "dog/2.png": GREEN}
    first = take(files)
    assert (first.new, first.known, first.labelled, first.rejected) == (3, 0, 3, [])
    assert keys(store) == ["raw/set/cat/1.png", "raw/set/dog/1.png", "raw/set/dog/2.png"]
    assert store.get("raw/set/cat/1.png") == RED
    assert labels(store) == ([["cat"], ["dog"], ["dog"]], 0)
    everything = [item.key for item in store.list("")]
    again = take(files)
    assert (again.new, again.known, again.labelled, again.rejected) == (0, 3, 0, [])
    assert [item.key for item in store.list("")] == everything


def test_what_cannot_be_taken_is_named_and_the_rest_goes_on(take, store):
    report = take(
        {"cat/1.png": RED, "cat/notes": b"x", "cat/cut.png": BLUE[:-30], "cow/1.png": GREEN,
         "cat/empty.png": b"", "cat/wide.png": png("red", 50), "cat/big.png": b"\x89PNG" + bytes(3000)},
        LabelSchema(names=("cat", "dog")),
        max_pixels=100,
        max_file_mb=0.002,
    )  # fmt: skip
    assert (report.new, report.labelled) == (1, 1)
    reasons = dict(report.rejected)
    assert reasons.keys() == {
        "cat/notes", "cat/cut.png", "cow/1.png", "cat/empty.png", "cat/wide.png", "cat/big.png"
    }  # fmt: skip
    assert "unknown label 'cow'; known: cat, dog" in reasons["cow/1.png"]
    assert "max_pixels" in reasons["cat/wide.png"]
    assert "max_file_mb" in reasons["cat/big.png"]
    assert keys(store) == ["raw/set/cat/1.png"]


def test_a_changed_label_supersedes_the_former(take, store):
    take({"cat/1.png": RED})
    assert take({"dog/1.png": RED}).labelled == 1
    assert labels(store) == ([["dog"]], 0)
    assert take({"cat/1.png": RED}).labelled == 1
    assert labels(store) == ([["cat"]], 0)


def test_the_same_image_under_two_labels_is_a_conflict_until_the_source_is_put_right(take, store):
    both = {"cat/1.png": RED, "dog/1.png": RED}
    take(both)
    assert labels(store)[1] == 1
    assert take(both).labelled == 0
    assert take({"dog/1.png": RED}).labelled == 1
    assert labels(store) == ([["dog"]], 0)


def test_a_conflict_is_found_even_if_a_killed_ingest_had_seen_half_of_it(take, store):
    take({"cat/1.png": RED})  # all that the killed one got to
    report = take({"cat/1.png": RED, "dog/1.png": RED})
    assert (report.new, report.known) == (1, 1)
    assert labels(store)[1] == 1


def test_another_image_of_the_same_name_gets_a_name_of_its_own(take, store):
    take({"1.png": RED})
    for _ in range(2):
        report = take({"1.png": BLUE})
        assert report.rejected == []
    assert (report.new, report.known) == (0, 1)
    assert len(keys(store)) == 2
    assert store.get("raw/set/1.png") == RED
    assert keys(store)[0].startswith("raw/set/1-")
    assert store.get(keys(store)[0]) == BLUE


def test_a_name_that_cannot_be_a_key_is_rejected_by_name(take, store):
    report = take({"good.png": RED, "bad\n.png": BLUE, "a#1": GREEN})
    assert report.new == 1
    assert {name for name, _ in report.rejected} == {"bad\n.png", "a#1"}


def test_unlabelled_images_get_no_labels_and_keep_those_they_have(take, store):
    take({"cat/1.png": RED})
    report = take({"1.png": RED, "2.png": BLUE})
    assert (report.new, report.labelled) == (2, 0)
    assert labels(store) == ([["cat"]], 0)


def test_a_store_that_fails_stops_the_ingest_and_keeps_what_is_complete(take, store, monkeypatch):
    real, calls = ObjectStore.create_tagged, []

    def failing(self: ObjectStore, key: str, data: bytes, **given: Any) -> str | None:
        calls.append(key)
        if len(calls) > 5:
            raise StoreError("the disk is full")
        return real(self, key, data, **given)

    files = {f"cat/{i}.png": png(f"#0000{i:02x}") for i in range(40)}
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "create_tagged", failing)
        with pytest.raises(StoreError, match="disk is full"):
            take(files)
    written = len(keys(store))
    assert 0 < written <= 5
    report = take(files)
    assert (report.new, report.known) == (40 - written, written)
    assert labels(store) == ([["cat"]] * 40, 0)


def test_progress_is_reported_after_every_file(tmp_path, store):
    for i in range(5):
        (tmp_path / "set" / str(i)).mkdir(parents=True)
        (tmp_path / "set" / str(i) / "x.png").write_bytes(png(f"#0{i}0000"))
    messages: list[tuple[int, int]] = []
    ingest(
        read_source(tmp_path / "set"), store=store, policy=IngestionPolicy(), schema=SINGLE,
        on_progress=lambda done, total: messages.append((done, total)),
    )  # fmt: skip
    assert messages == [(i, 5) for i in range(1, 6)]


def test_one_word_in_several_encodings_is_one_label(take, store):
    files = {"a.png": RED, "b.png": BLUE, "c.png": GREEN}
    lines = "file,labels\na.png,Café\nb.png,Cafe\u0301\nc.png,Caf\u200bé \n"
    report = take({"labels.csv": lines.encode(), **files})
    assert report.rejected == []
    assert labels(store) == ([["Café"]] * 3, 0)


def test_a_name_in_the_settings_counts_however_a_list_writes_it(take, store):
    names = LabelSchema(names=("Cafe\u0301", "tea pot"))
    report = take({"CAFÉ/1.png": RED, "Tea  Pot/2.png": BLUE, "tea/3.png": GREEN}, names)
    assert [name for name, _ in report.rejected] == ["tea/3.png"]
    assert labels(store) == ([["Café"], ["tea pot"]], 0)


def write_event(store: ObjectStore, event: Any) -> None:
    store.create(event_key(event), to_json(event))


def counted_labels(store: ObjectStore, schema: LabelSchema) -> list[list[str]]:
    return sorted(view_of(all_rows(store), schema).labels.values())


def test_a_folder_of_the_old_name_counts_as_the_class_that_was_renamed(take, store):
    names = LabelSchema(names=("cat", "dog"))
    take({"cat/1.png": RED, "dog/2.png": BLUE}, names)
    write_event(store, Rename(at=datetime.now(UTC), by="me", old=("dog",), new="hound"))
    files = {"cat/1.png": RED, "dog/2.png": BLUE, "dog/3.png": GREEN}
    for schema in (names, LabelSchema(names=("cat", "hound")), LabelSchema()):
        assert take(files, schema).rejected == []
        assert counted_labels(store, schema) == [["cat"], ["hound"], ["hound"]]
    assert take(files, LabelSchema(names=("cat",))).rejected


def test_what_was_taken_back_and_is_said_again_counts_again(take, store):
    files = {"cat/1.png": RED, "dog/2.png": BLUE}
    take(files)
    ahead = datetime.now(UTC) + timedelta(hours=1)  # a clock that was put right since
    write_event(store, Withdrawal(at=ahead, by="me", source="set", label="dog"))
    assert counted_labels(store, SINGLE) == [["cat"]]
    assert take(files).labelled == 1
    assert counted_labels(store, SINGLE) == [["cat"], ["dog"]]
    assert take(files).labelled == 0


def test_what_is_named_on_purpose_is_stored_where_it_is_taken_for_data(
    tmp_path: Path, store: ObjectStore
) -> None:
    """A folder of recovered files may be a source; in ``raw/`` its name says that it holds none."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found/a.png").write_bytes(RED)
    for _ in range(2):
        report = ingest(
            read_source(tmp_path / "lost+found"),
            store=store,
            policy=IngestionPolicy(),
            schema=SINGLE,
        )
    assert [info.key for info in store.list("raw")] == ["raw/_lost+found/a.png"]
    assert litter_of_key("raw/_lost+found/a.png", {}) is None
    assert (report.new, report.known) == (0, 1)
    assert key_of_data("raw/@eaDir/x/#recycle/1.jpg") == "raw/_@eaDir/x/_#recycle/1.jpg"
    assert key_of_data("raw/X.lrdata/1.jpg") == "raw/_X.lrdata_/1.jpg"
    assert litter_of_key("raw/_X.lrdata_/1.jpg", {}) is None
    assert key_of_data("raw/.mine/a.part/1.jpg") == "raw/.mine/a.part/1.jpg"
