"""An ingest takes what it can, names the rest, and may be repeated and interrupted at will."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from assets.policies import IngestionPolicy
from imgclf_dagster.ingest import IngestReport, ingest
from labelling.conflicts import find_conflicts
from labelling.schema import LabelSchema
from labelling.table import current_labels, label_rows
from resources.object_store import ObjectStore
from resources.store_errors import StoreError

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
        return ingest(source, store=store, policy=IngestionPolicy(**policy), schema=schema)

    return run


def labels(store: ObjectStore) -> tuple[list[list[str]], int]:
    """The labels that count, and how many images are in conflict."""
    snapshots = [(item.key, store.get(item.key)) for item in store.list("annotations/")]
    table = label_rows(snapshots, SINGLE)
    return sorted(current_labels(table)["labels"].to_pylist()), find_conflicts(table).num_rows


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
        {"cat/1.png": RED, "cat/notes.txt": b"x", "cat/cut.png": BLUE[:-30], "cow/1.png": GREEN,
         "cat/empty.png": b"", "cat/wide.png": png("red", 50), "cat/big.png": bytes(3000)},
        LabelSchema(names=("cat", "dog")),
        max_pixels=100,
        max_file_mb=0.002,
    )  # fmt: skip
    assert (report.new, report.labelled) == (1, 1)
    reasons = dict(report.rejected)
    assert reasons.keys() == {
        "cat/notes.txt", "cat/cut.png", "cow/1.png", "cat/empty.png", "cat/wide.png", "cat/big.png"
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
    real, calls = ObjectStore.create, []

    def failing(self: ObjectStore, key: str, data: bytes) -> bool:
        calls.append(key)
        if len(calls) > 5:
            raise StoreError("the disk is full")
        return real(self, key, data)

    files = {f"cat/{i}.png": png(f"#0000{i:02x}") for i in range(40)}
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "create", failing)
        with pytest.raises(StoreError, match="disk is full"):
            take(files)
    written = len(keys(store))
    assert 0 < written <= 5
    report = take(files)
    assert (report.new, report.known) == (40 - written, written)
    assert labels(store) == ([["cat"]] * 40, 0)


def test_progress_is_told_after_every_file(tmp_path, store):
    for i in range(5):
        (tmp_path / "set" / str(i)).mkdir(parents=True)
        (tmp_path / "set" / str(i) / "x.png").write_bytes(png(f"#0{i}0000"))
    told: list[tuple[int, int]] = []
    ingest(
        tmp_path / "set", store=store, policy=IngestionPolicy(), schema=SINGLE,
        on_progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == [(i, 5) for i in range(1, 6)]
