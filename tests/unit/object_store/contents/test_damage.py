"""What a power cut leaves: every reader names key and remedy, and a lost decision lets nothing through."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import BaseModel

from assets.annotations.label_index import index_snapshots, judge_labels, labels_table
from assets.evaluation.records import newest_evaluation, record_evaluation
from assets.release.verdicts import newest_verdict, objections, record_verdict
from imgclf_dagster.ingest.ingest import only_ingest
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import AnnotationSnapshot, ingested_key
from labelling.labels.table import label_rows, snapshot_of
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import read_object, read_record, read_rows
from object_store.contents.sealed import is_intact, sealed_parquet
from object_store.contents.tables import Table, TableDamagedError
from object_store.durable import create_file
from object_store.rows import UNFINISHED
from object_store.store import ObjectStore
from tests.patience import WAIT_S

pytestmark = pytest.mark.unit

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])
SUBJECT, CHECK, DIGEST = "trained_model/train-1", "beats_champion", "d" * 64
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "zeros": lambda data: b"\0" * len(data),
    "cut in half": lambda data: data[: len(data) // 2],
    "of another shape": lambda data: b'{"a": [1]}',
    "null": lambda data: b"null",
    "a list": lambda data: b"[]",
    "deep": lambda data: b"[" * 100_000,
}


class Thing(BaseModel):
    name: str
    number: int


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def damage(store: ObjectStore, key: str, how: Callable[[bytes], bytes]) -> None:
    data = store.get(key)
    store.delete(key)
    store.put(key, how(data))


# --- readers -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_every_reader_names_the_key_and_a_remedy(
    store: ObjectStore, how: Callable[[bytes], bytes]
) -> None:
    store.put("models/eval-1/job.json", how(b'{"name": "a", "number": 1}'))
    store.put("queue/1.parquet", how(sealed_parquet(pa.table({"n": [1], "text": ["a"]}))))
    for read in (
        lambda: read_record(store, "models/eval-1/job.json", Thing),
        lambda: read_object(store, "models/eval-1/job.json", Thing),
        lambda: read_rows(store, "queue/1.parquet", SCHEMA),
    ):
        with pytest.raises(DamagedObject, match="doctor --store") as found:
            read()
        assert str(found.value).startswith(("models/eval-1/job.json in", "queue/1.parquet in"))
        assert "\n" not in str(found.value)


def test_one_changed_byte_of_a_parquet_file_is_found(store: ObjectStore) -> None:
    rows = pa.table({"n": list(range(100)), "text": [[f"text {n}"] for n in range(100)]})
    data = sealed_parquet(rows)
    assert is_intact(data)
    mark = data.rfind(b"imgclf.crc32")  # a file without it is an older version's
    for place in {*range(len(data))} - {*range(mark, mark + 12)}:
        assert not is_intact(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]), place
    store.put("queue/1.parquet", data)
    assert read_rows(store, "queue/1.parquet", rows.schema).equals(rows)
    damage(store, "queue/1.parquet", lambda data: data[:99] + bytes([data[99] ^ 8]) + data[100:])
    with pytest.raises(DamagedObject, match="a byte of it was changed"):
        read_rows(store, "queue/1.parquet", rows.schema)


# --- decisions -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_verdict_never_leaves_the_word_to_an_older_one(
    store: ObjectStore, how: Callable[[bytes], bytes]
) -> None:
    def judge(*, passed: bool) -> None:
        record_verdict(
            store, subject=SUBJECT, check=CHECK, passed=passed, reason="so", digest=DIGEST
        )

    judge(passed=True)
    judge(passed=False)
    newest = max(info.key for info in store.list("checks"))
    damage(store, newest, how)
    (answer,) = objections(store, SUBJECT, (CHECK,), DIGEST)
    assert newest in answer
    assert "make this check again" in answer
    judge(passed=True)  # the remedy: a new one, behind the damaged one
    assert objections(store, SUBJECT, (CHECK,), DIGEST) == []


def test_a_verdict_under_the_key_of_another_counts_for_nothing(store: ObjectStore) -> None:
    record_verdict(store, subject="trained_model/good", check=CHECK, passed=True, reason="so")
    (info,) = store.list("checks")
    store.copy_object(info.key, f"checks/{SUBJECT}/{CHECK}/0000000000001.json")
    with pytest.raises(DamagedObject, match="holds the verdict"):
        newest_verdict(store, SUBJECT, CHECK)


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_evaluation_is_reported_and_followed_by_a_new_one(
    store: ObjectStore, how: Callable[[bytes], bytes]
) -> None:
    record = {
        **dict.fromkeys(("job", "digest", "model_key", "dataset_version", "code_version"), "x"),
        **{"model_version": "train-1", "task": "single_label", "labels": ["a"]},
        **{"metrics": {"accuracy": 1}, "evaluation_run": ""},
    }
    record_evaluation(store, "train-1", record)
    (info,) = store.list("models")
    damage(store, info.key, how)
    with pytest.raises(DamagedObject, match="evaluate the model again"):
        newest_evaluation(store, "train-1")
    record_evaluation(store, "train-1", record)
    assert (newest_evaluation(store, "train-1") or {})["job"] == "x"


# --- tables --------------------------------------------------------------------------------


def things(*numbers: int) -> pa.Table:
    return pa.table({"n": list(numbers), "text": [str(n) for n in numbers]}, schema=SCHEMA)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize("how", [*DAMAGES.values(), None], ids=[*DAMAGES, "lost"])
def test_a_damaged_part_stops_readers_until_its_owner_has_made_its_rows_again(
    store: ObjectStore,
    part: int,
    how: Callable[[bytes], bytes] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A lost one is looked for twenty times.
    monkeypatch.setattr("object_store.contents.tables._READ_PAUSE_S", 0)
    table = Table(store, "things", SCHEMA)
    for number in range(3):
        table.append(things(number))
    key = f"tables/things/{part:010d}-{part:010d}.parquet"
    if how is None:
        store.delete(key)
        if part == 2:
            return  # nothing tells of a last one that never was
    else:
        damage(store, key, how)
    with pytest.raises(TableDamagedError, match=f"{part:010d}.parquet") as found:
        table.read()
    assert "doctor --store --repair" in str(found.value)
    messages: list[str] = []
    owner = Table(store, "things", SCHEMA, on_damage=messages.append)
    assert set(owner.read()["n"].to_pylist()) == {0, 1, 2} - {part}
    assert [key in text for text in messages] == [True]
    owner.append(things(part))
    with pytest.raises(TableDamagedError):  # killed here, nobody takes it for whole
        Table(store, "things", SCHEMA).read()
    owner.compact()
    assert sorted(Table(store, "things", SCHEMA).read()["n"].to_pylist()) == [0, 1, 2]
    if how is not None:
        assert store.exists(f"damaged/{key}")
    table.append(things(7))
    assert table.read()["n"].to_pylist()[-1] == 7


def test_a_damaged_only_part_can_be_made_again(store: ObjectStore) -> None:
    Table(store, "things", SCHEMA).append(things(1))
    damage(store, "tables/things/0000000000-0000000000.parquet", DAMAGES["empty"])
    owner = Table(store, "things", SCHEMA, on_damage=lambda text: None)
    owner.mend()
    assert Table(store, "things", SCHEMA).read().num_rows == 0


# --- annotation snapshots ------------------------------------------------------------------


def snapshot(**changed: object) -> bytes:
    texts = {
        "sha256": "a" * 64,
        "labels": ["cat"],
        "annotator": "me",
        "source": "label_studio",
        "annotated_at": "2026-01-05T08:00:00Z",
        "annotation_id": "1",
    }
    return json.dumps({**texts, **changed}).encode()


ODD = {
    "year 1": {"annotated_at": "0001-01-01T00:00:00Z"},
    "year 1 and a zone": {"annotated_at": "0001-01-01T00:00:00+14:00"},
    "year 9999": {"annotated_at": "9999-12-31T23:59:59Z"},
    "year 9999 and a zone": {"annotated_at": "9999-12-31T23:59:59-12:00"},
    "created at the end": {"created_at": "9999-12-31T23:59:59-12:00"},
    "far in the future": {"annotated_at": "2201-01-01T00:00:00Z"},
    "seconds of ages": {"annotated_at": 10**18},
    "a task over 2^63": {"task": 2**63},
    "a project over 2^64": {"project": 10**30},
    "endless seconds": {"lead_time_s": float("inf")},
    "no number of seconds": {"lead_time_s": float("nan")},
    "half a character": {"annotator": "\ud800"},
}


@pytest.mark.parametrize("changed", ODD.values(), ids=ODD)
def test_an_odd_snapshot_is_set_aside_by_name_and_the_rest_goes_on(
    store: ObjectStore, changed: dict[str, object]
) -> None:
    store.put("annotations/odd.json", snapshot(**changed))
    store.put("annotations/good.json", snapshot(sha256="b" * 64))
    table = labels_table(store)
    assert index_snapshots(store, table) == 2
    judged = judge_labels(table.read(), LabelSchema(task="single_label"))
    usable, rejected = judged.usable, judged.rejected
    assert usable["snapshot_key"].to_pylist() == ["annotations/good.json"]
    assert rejected["snapshot_key"].to_pylist() == ["annotations/odd.json"]
    assert "annotations/odd.json" in rejected["reason"][0].as_py()


def test_a_row_that_the_table_cannot_hold_is_a_rejected_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labelling.labels.snapshots.MAX_NUMBER", 2**70)
    data = AnnotationSnapshot.model_construct(**json.loads(snapshot(task=2**65)))
    monkeypatch.setattr("labelling.labels.table.parse_snapshot", lambda raw, key: data)
    schema = LabelSchema(task="single_label")
    rows = label_rows([("annotations/a.json", b"")], schema).to_pylist()
    assert [row["status"] for row in rows] == ["rejected"]
    assert "cannot hold it" in rows[0]["reason"]


def test_a_label_that_one_byte_changed_is_set_aside() -> None:
    facts = AnnotationSnapshot.model_validate_json(snapshot(labels=["cat"], source="ingest"))
    changed = facts.to_json().replace(b"cat", b"bat")
    schema = LabelSchema(task="single_label", names=("cat", "bat"))
    (row,) = label_rows([(ingested_key(facts), changed)], schema).to_pylist()
    assert row["status"] == "rejected"
    assert "it was changed" in row["reason"]


def test_a_snapshot_comes_back_from_its_row() -> None:
    facts = AnnotationSnapshot.model_validate_json(
        snapshot(
            unique_id="u",
            created_at="2026-01-05T08:00:00Z",
            lead_time_s=1.5,
            project=1,
            task=2,
            prediction={"model_version": "m", "labels": ["dog"], "confidence": 0.5},
        )
    )
    schema = LabelSchema(task="single_label")
    (row,) = label_rows([("annotations/a.json", facts.to_json())], schema).to_pylist()
    assert snapshot_of(row) == facts


# --- writing -------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files and folders that were put on the disk, in order."""
    found: list[str] = []

    def record(descriptor: int) -> None:
        found.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr("object_store.durable._sync", record)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc: run it on Linux")
def test_a_decision_is_on_the_disk_before_it_is_said_to_be_written(
    store: ObjectStore, synced: list[str]
) -> None:
    assert store.root is not None
    for key in (
        "checks/a/b/1.json",
        "endpoints/prod/1.json",
        "annotations/label_studio/a.json",
        "models/m/evaluations/1.json",
        "models/j/job.json",
        "tables/images/1.parquet",
    ):
        synced.clear()
        store.put(key, b"x")
        folder = str((store.root / key).parent)
        assert [path for path in synced if "/.staging/" in path]
        assert folder in synced
        assert str(Path(folder).parent) in synced  # which has a new name in it, too
    synced.clear()
    store.create("raw/corrected/a.png", b"x", durable=True)
    assert str(store.root / "raw/corrected") in synced
    synced.clear()
    store.put("raw/a.png", b"x")
    store.put("annotations/ingested/a.json", b"x")
    assert synced == []  # thousands: an ingest waits once, at its end


def test_a_killed_writer_leaves_nothing_among_the_files(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from object_store import durable\n"
        "durable.os.link = lambda *names: os._exit(9)\n"
        "durable.create_file(Path(sys.argv[1]), 'raw/a.png', b'x', durable=False)"
    )
    root = Path(__file__).parents[4]
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == 9
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parts[0] for path in left] == [".staging"]
    assert UNFINISHED.search(left[0].name)
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    assert [info.key for info in store.list("")] == [".imgclf-store.json"]
    assert store.sweep(older_than_s=0) == 1


def test_of_racing_writers_one_wins(tmp_path: Path) -> None:
    won: list[int] = []
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        if create_file(tmp_path, "a/b", str(number).encode(), durable=True):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / "a/b").read_text()] == [str(number) for number in won]


def test_what_a_killed_ingest_of_an_older_version_left_is_cleared_away(store: ObjectStore) -> None:
    assert store.root is not None
    store.put("raw/a.png", b"whole image")
    for name, data in (("a.png#1", b"whole"), ("b.png#1", b"half"), ("a.png#2", b"other")):
        (store.root / "raw" / name).write_bytes(data)
    assert store.sweep(older_than_s=0) == 1
    left = sorted(path.name for path in (store.root / "raw").iterdir())
    assert left == ["a.png", "a.png#2", "b.png#1"]
    assert [info.key for info in store.list("raw")] == ["raw/a.png"]


def test_an_ingest_waits_for_another_one_and_says_so(tmp_path: Path) -> None:
    messages: list[str] = []
    order: list[str] = []
    waiting = threading.Event()

    def say(text: str) -> None:
        messages.append(text)
        waiting.set()

    def second() -> None:
        with only_ingest(tmp_path / "run", say):
            order.append("second")

    thread = threading.Thread(target=second)
    with only_ingest(tmp_path / "run", messages.append):
        thread.start()
        assert waiting.wait(WAIT_S)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert messages[0].startswith(f"another ingest is running in {tmp_path}")


def test_a_moment_of_a_correction_is_in_bounds() -> None:
    from labelling.labels.corrections import CorrectionError, parse_correction

    data = {
        "sha256": "a" * 64,
        "raw_key": "raw/a",
        "labels": ["cat"],
        "by": "me",
        "corrected_at": datetime.max.replace(tzinfo=UTC).isoformat(),
    }
    with pytest.raises(CorrectionError, match="after 2199"):
        parse_correction(json.dumps(data).encode(), "corrections/a.json")
