"""Vectors by image, on each adapter: what an append reads and writes, damage, kills."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from object_store.contents.damage import DamagedObject
from object_store.contents.parquet_vectors import ParquetVectors
from object_store.contents.segments import digests_of, encode
from object_store.contents.tables import Table
from object_store.contents.vectors import Vectors
from object_store.store import ObjectStore
from training.embedding.features import FEATURES_SCHEMA, half_features_of, packed_features

pytestmark = pytest.mark.contract

PREFIX = "embeddings/net"
WIDTH = 64
IMAGES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(400)]
FEATURES = np.random.default_rng(3).normal(size=(len(IMAGES), WIDTH)).astype("<f2")


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "local":
            url = (tmp_path / "store").as_uri()
        case "memory":
            url = "memory:///"
        case _:
            url = f"s3://{request.getfixturevalue('aws_environment').bucket()}"
    store = ObjectStore(url=url)
    store.ensure()
    return store


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def opened(store: ObjectStore) -> Vectors:
    older = ParquetVectors(store, PREFIX, FEATURES_SCHEMA, half_features_of)
    return Vectors(store, PREFIX, "<f2", older)


def append(store: ObjectStore, some: slice) -> int:
    return opened(store).append(IMAGES[some], FEATURES[some])


def read(store: ObjectStore, images: list[str]) -> np.ndarray:
    found = np.full((len(images), WIDTH), np.nan, "<f2")
    for places, vectors in opened(store).blocks(images):
        assert vectors.dtype == "<f2"
        found[places] = vectors
    return found


def keys(store: ObjectStore) -> list[str]:
    return [info.key.removeprefix(f"{PREFIX}/") for info in store.list(PREFIX)]


def change(store: ObjectStore, key: str, place: int) -> None:
    """Change a byte."""
    data = bytearray(store.get(key))
    data[place] ^= 1
    store.delete(key)
    store.put(key, bytes(data))


def older_parts(store: ObjectStore, *some: slice) -> None:
    """Parts as they were stored before there were segments."""
    table = Table(store, "net", FEATURES_SCHEMA, prefix=PREFIX)
    for rows in some:
        packed = packed_features(FEATURES[rows].astype(np.float32))
        table.append(pa.table({"sha256": IMAGES[rows], "features": packed}, FEATURES_SCHEMA))


def test_vectors_come_back_by_image_in_any_order(store: ObjectStore) -> None:
    assert append(store, slice(0, 0)) == 0
    assert not list(opened(store).blocks(IMAGES))
    assert append(store, slice(0, 200)) == 200
    assert append(store, slice(150, 300)) == 100
    assert append(store, slice(0, 300)) == 0
    assert keys(store) == ["0000000000.vectors", "0000000001.vectors"]
    mixed = [IMAGES[n] for n in (399, 299, 0, 250, 7, 199, 200, 7)]
    found = read(store, mixed)
    assert np.isnan(found[0]).all()
    assert np.array_equal(found[1:], FEATURES[[299, 0, 250, 7, 199, 200, 7]])
    assert np.array_equal(read(store, IMAGES[:300]), FEATURES[:300])
    assert opened(store).known([IMAGES[0], IMAGES[300]]).tolist() == [True, False]
    assert opened(store).keys_of([IMAGES[250]]) == (f"{PREFIX}/0000000001.vectors",)
    assert opened(store).keys_of(IMAGES[300:]) == ()
    assert opened(store).flaws() == []


def test_an_image_given_twice_is_stored_once(store: ObjectStore) -> None:
    assert opened(store).append([IMAGES[1], IMAGES[0], IMAGES[1]], FEATURES[[1, 0, 1]]) == 2
    assert np.array_equal(read(store, IMAGES[:2]), FEATURES[:2])


def test_images_whose_sha256_begins_alike_are_distinguished(local: ObjectStore) -> None:
    alike = [f"{'ab' * 8}{number:048x}" for number in range(6)]
    assert opened(local).append(alike[:2], FEATURES[:2]) == 2
    assert opened(local).append(alike[1:4], FEATURES[1:4]) == 2
    assert np.array_equal(read(local, alike[:4][::-1]), FEATURES[:4][::-1])
    assert opened(local).known(alike).tolist() == [True] * 4 + [False] * 2


def test_vectors_of_another_length_are_refused(local: ObjectStore) -> None:
    append(local, slice(0, 2))
    with pytest.raises(ValueError, match="different lengths"):
        opened(local).append(IMAGES[2:3], FEATURES[2:3, :4])


def test_an_append_and_a_read_move_what_is_new(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, slice(0, 390))
    whole = store.head(f"{PREFIX}/0000000000.vectors").size
    moved: list[int] = []
    if store.root is None:
        for name in ("get", "get_range", "get_ranges"):
            method = getattr(ObjectStore, name)

            def counted(self: Any, *given: Any, method: Any = method) -> Any:
                found = method(self, *given)
                moved.append(sum(map(len, found)) if isinstance(found, list) else len(found))
                return found

            monkeypatch.setattr(ObjectStore, name, counted)
    else:
        monkeypatch.setattr(ObjectStore, "get", None)  # what is mapped is not read
    vectors = opened(store)
    assert vectors.append(IMAGES[389:392], FEATURES[389:392]) == 2
    assert store.head(f"{PREFIX}/0000000001.vectors").size < 64 + 2 * (36 + 2 * WIDTH) + 1
    for places, found in vectors.blocks(IMAGES[390:391]):
        assert np.array_equal(found, FEATURES[390:391][places])
    assert sum(moved) < 390 * 8 + 2_000 < whole / 8


def test_two_writers_take_two_numbers(local: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Vectors._listed
    raced: list[int] = []

    def late(self: Vectors) -> Any:
        found = listed(self)
        if len(raced) == 1:  # between the other's look and its write
            raced.append(0)
            append(local, slice(5, 10))
        elif not raced:
            raced.append(0)
        return found

    monkeypatch.setattr(Vectors, "_listed", late)
    append(local, slice(0, 8))
    assert keys(local) == ["0000000000.vectors", "0000000001.vectors"]
    assert np.array_equal(read(local, IMAGES[:10]), FEATURES[:10])


@pytest.mark.parametrize("old", [False, True])
def test_killed_at_any_write_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    """Mending, and the append of what was lost: killed before each of their writes."""

    class Killed(BaseException):
        pass

    left = [10**6]

    def dying(method: Any) -> Any:
        def call(self: Any, *given: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return method(self, *given)

        return call

    def work(store: ObjectStore) -> None:
        opened(store).mend(lambda text: None, whole=True)
        append(store, slice(0, 45))

    for name in ("create", "delete", "copy_object"):
        monkeypatch.setattr(ObjectStore, name, dying(getattr(ObjectStore, name)))
    for writes in range(100):
        store = ObjectStore(url=(tmp_path / f"{writes}").as_uri())
        store.ensure()
        if old:
            older_parts(store, slice(0, 3), slice(3, 10))
            change(store, f"{PREFIX}/0000000001-0000000001.parquet", 200)
        append(store, slice(0 if not old else 10, 20))
        append(store, slice(20, 40))
        change(store, f"{PREFIX}/0000000000.vectors", -1)
        left[0] = writes
        try:
            work(store)
            is_killed = False
        except Killed:
            is_killed = True
        left[0] = 10**6
        work(store)
        assert opened(store).flaws() == []
        assert np.array_equal(read(store, IMAGES[:45]), FEATURES[:45])
        assert store.list("damaged")
        if not is_killed:
            break
    assert writes >= 4


def test_a_changed_vector_is_an_error_and_the_next_mending_finds_it(store: ObjectStore) -> None:
    append(store, slice(0, 20))
    append(store, slice(20, 40))
    key = f"{PREFIX}/0000000001.vectors"
    change(store, key, -1)  # of the last vector
    assert np.array_equal(read(store, IMAGES[:39]), FEATURES[:39])  # the others are read
    with pytest.raises(DamagedObject, match=r"1 of its vectors.*0000000001|0000000001.*1 of its"):
        read(store, IMAGES[:40])
    assert [flaw.key for flaw in opened(store).flaws()] == [key]
    messages: list[str] = []
    opened(store).mend(messages.append)
    assert len(messages) == 1
    assert key in messages[0]
    assert opened(store).known(IMAGES[:40]).tolist() == [True] * 20 + [False] * 20
    assert append(store, slice(0, 40)) == 20
    assert np.array_equal(read(store, IMAGES[:40]), FEATURES[:40])
    assert opened(store).flaws() == []
    opened(store).mend(messages.append)
    assert len(messages) == 1


@pytest.mark.parametrize("place", [0, 20, 70], ids=["magic", "rows", "list of images"])
def test_a_changed_list_of_images_is_found_by_every_mending(local: ObjectStore, place: int) -> None:
    append(local, slice(0, 20))
    key = f"{PREFIX}/0000000000.vectors"
    change(local, key, place)
    with pytest.raises(DamagedObject, match="0000000000"):
        opened(local).known(IMAGES[:1])
    opened(local).mend(lambda text: None)
    assert append(local, slice(0, 20)) == 20
    assert np.array_equal(read(local, IMAGES[:20]), FEATURES[:20])


def test_a_changed_end_of_a_sha256_hides_its_image_only(local: ObjectStore) -> None:
    append(local, slice(0, 20))
    change(local, f"{PREFIX}/0000000000.vectors", 64 + 20 * 8 + 3)
    assert opened(local).known(IMAGES[:20]).tolist() == [False] + [True] * 19
    assert len(opened(local).flaws()) == 1
    assert append(local, slice(0, 20)) == 1
    assert np.array_equal(read(local, IMAGES[:20]), FEATURES[:20])


@pytest.mark.parametrize("size", [0, 40, 64, 1000])
def test_a_cut_segment_is_an_error(local: ObjectStore, size: int) -> None:
    append(local, slice(0, 20))
    key = f"{PREFIX}/0000000000.vectors"
    data = local.get(key)[:size]
    local.delete(key)
    local.put(key, data)
    with pytest.raises(DamagedObject, match="bytes"):
        opened(local).known(IMAGES[:1])


def test_a_lost_segment_is_an_error_until_it_is_mended(local: ObjectStore) -> None:
    for start in (0, 10, 20):
        append(local, slice(start, start + 10))
    local.delete(f"{PREFIX}/0000000001.vectors")
    with pytest.raises(DamagedObject, match="missing"):
        opened(local).known(IMAGES[:1])
    assert [flaw.flaw for flaw in opened(local).flaws()] == ["it is missing"]
    messages: list[str] = []
    opened(local).mend(messages.append)
    assert "missing" in messages[0]
    assert append(local, slice(0, 30)) == 10
    assert np.array_equal(read(local, IMAGES[:30]), FEATURES[:30])


def test_the_version_changes_with_every_append(local: ObjectStore) -> None:
    versions = [opened(local).version()]
    older_parts(local, slice(0, 5))
    versions.append(opened(local).version())
    for start in (5, 10):
        append(local, slice(start, start + 5))
        versions.append(opened(local).version())
    append(local, slice(0, 5))  # nothing new
    assert len(set(versions)) == 4
    assert opened(local).version() == versions[-1]


def test_older_parts_are_read_as_they_are(store: ObjectStore) -> None:
    older_parts(store, slice(0, 50), slice(50, 100))
    before = [(info.key, info.etag) for info in store.list(PREFIX)]
    opened(store).mend(pytest.fail)
    assert append(store, slice(90, 110)) == 10
    opened(store).mend(pytest.fail)
    assert np.array_equal(read(store, IMAGES[:110]), FEATURES[:110])
    assert opened(store).keys_of(IMAGES[60:110]) == (
        f"{PREFIX}/0000000000.vectors",
        f"{PREFIX}/0000000001-0000000001.parquet",
    )
    after = [(info.key, info.etag) for info in store.list(PREFIX)]
    assert [entry for entry in after if entry[0].endswith(".parquet")] == before
    assert opened(store).flaws() == []


def test_of_an_older_part_only_the_images_are_read_to_append(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    older_parts(store, slice(0, 300))
    monkeypatch.setattr(ObjectStore, "get", None)
    assert append(store, slice(299, 310)) == 10


def test_a_damaged_older_part_is_moved_aside_after_a_reader_found_it(local: ObjectStore) -> None:
    older_parts(local, slice(0, 50), slice(50, 100))
    key = f"{PREFIX}/0000000001-0000000001.parquet"
    change(local, key, local.head(key).size // 2)
    with pytest.raises(DamagedObject, match="0000000001"):
        read(local, IMAGES[60:61])
    messages: list[str] = []
    opened(local).mend(messages.append)
    assert key in messages[0]
    assert append(local, slice(0, 100)) == 50
    assert np.array_equal(read(local, IMAGES[:100]), FEATURES[:100])


def test_a_segment_of_another_type_is_an_error(local: ObjectStore) -> None:
    data = encode(digests_of(IMAGES[:2]), FEATURES[:2].astype("<f4"))
    local.put(f"{PREFIX}/0000000000.vectors", data)
    with pytest.raises(DamagedObject, match="float32, not float16"):
        opened(local).known(IMAGES[:1])
