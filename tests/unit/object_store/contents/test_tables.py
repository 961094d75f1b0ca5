"""Tables of create-only parts: order, compaction, races, damage."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from object_store.contents.tables import Table, TableDamagedError, _Part
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

SCHEMA = pa.schema([("who", pa.string()), ("n", pa.int64())])


def rows(who: str, *numbers: int) -> pa.Table:
    return pa.table({"n": list(numbers), "who": [who] * len(numbers)})


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


@pytest.fixture
def table(store: ObjectStore) -> Table:
    return Table(store, "things", SCHEMA)


def test_rows_come_back_in_the_order_of_their_appends(table: Table) -> None:
    assert table.read().schema == SCHEMA
    for number in range(20):
        table.append(rows("a", number, number))
    expected = [number for number in range(20) for _ in range(2)]
    assert table.read(["n"]).column("n").to_pylist() == expected
    version = table.version()
    table.compact()
    assert table.read().column("n").to_pylist() == expected
    assert table.version() == version
    table.append(rows("a", 20))
    assert table.version() != version
    assert table.read().column("n").to_pylist() == [*expected, 20]


def test_rows_are_found_by_a_value_part_by_part(table: Table) -> None:
    for who in ("a", "b", "a"):
        table.append(rows(who, 1, 2))
    found = table.find("who", "a", ["n"])
    assert found.to_pydict() == {"n": [1, 2, 1, 2]}
    assert table.find("who", "nobody", ["n", "who"]).to_pydict() == {"n": [], "who": []}


def test_compaction_waits_for_enough_parts(table: Table, store: ObjectStore) -> None:
    for number in range(4):
        table.append(rows("a", number))
    table.compact(min_parts=5)
    assert len(store.list("tables/things")) == 4
    table.compact(min_parts=4)
    assert [i.key for i in store.list("tables/things")] == [
        "tables/things/0000000000-0000000003.parquet"
    ]


def test_no_rows_make_no_part(table: Table, store: ObjectStore) -> None:
    table.append(rows("a"))
    assert store.list("tables") == []


def test_a_compaction_killed_before_it_deleted_shows_no_row_twice(
    table: Table, store: ObjectStore
) -> None:
    table.append(rows("a", 0))
    table.append(rows("a", 1))
    first = store.get("tables/things/0000000000-0000000000.parquet")
    table.compact(min_parts=2)
    store.put("tables/things/0000000000-0000000000.parquet", first)
    assert table.read().column("n").to_pylist() == [0, 1]
    table.compact(min_parts=100)
    assert len(store.list("tables/things")) == 1


def test_an_append_that_a_compaction_overtook_is_not_lost(store: ObjectStore) -> None:
    fast = Table(store, "things", SCHEMA)
    fast.append(rows("fast", 0))

    class Slow(Table):
        overtaken = False

        def _next_number(self) -> int:
            number = super()._next_number()
            if not self.overtaken:  # between the listing and the write of the slow one
                self.overtaken = True
                fast.append(rows("fast", 1))
                fast.compact(min_parts=2)
            return number

    Slow(store, "things", SCHEMA).append(rows("slow", 2))
    assert fast.read().column("n").to_pylist() == [0, 1, 2]


def test_many_writers_readers_and_compactors_at_once(store: ObjectStore) -> None:
    def write(who: str) -> None:
        table = Table(store, "things", SCHEMA)
        for number in range(15):
            table.append(rows(who, number))
            table.compact(min_parts=4)
            mine = [r["n"] for r in table.read().to_pylist() if r["who"] == who]
            assert mine == list(range(number + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert Table(store, "things", SCHEMA).read().num_rows == 60


def test_rows_that_are_compacted_at_once_are_not_appended_again(
    table: Table, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append(rows("a", 0))
    create, other = store.create, Table(store, "things", SCHEMA)

    def compacted(key: str, data: bytes) -> bool:
        made = create(key, data)
        if key.endswith("1-0000000001.parquet"):
            other.compact(min_parts=2)
        return made

    monkeypatch.setattr(type(store), "create", lambda _, key, data: compacted(key, data))
    table.append(rows("a", 1))
    assert [row["n"] for row in table.read().to_pylist()] == [0, 1]


def test_rows_under_a_number_that_was_compacted_away_are_appended_again(
    table: Table, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append(rows("a", 0))
    late = Table(store, "things", SCHEMA)
    numbers = iter([1])  # as a listing told before the next two lines
    table.append(rows("a", 1))
    table.compact(min_parts=2)
    honest = late._next_number
    monkeypatch.setattr(late, "_next_number", lambda: next(numbers, None) or honest())
    late.append(rows("b", 7))
    assert [row["n"] for row in table.read().to_pylist()] == [0, 1, 7]


def test_a_lost_part_is_noticed(
    table: Table, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("object_store.contents.tables._READ_PAUSE_S", 0)
    for number in range(3):
        table.append(rows("a", number))
    store.delete("tables/things/0000000001-0000000001.parquet")
    with pytest.raises(TableDamagedError, match="append 1 is missing"):
        table.read()


def test_a_broken_part_is_named(table: Table, store: ObjectStore) -> None:
    store.put("tables/things/0000000000-0000000000.parquet", b"PAR1")
    with pytest.raises(TableDamagedError, match="0000000000-0000000000"):
        table.read()


@pytest.mark.parametrize("wrong", [{"n": [1]}, {"n": ["x"], "who": ["a"]}])
def test_rows_that_do_not_fit_are_refused(table: Table, wrong: dict[str, list]) -> None:
    with pytest.raises(ValueError, match="things"):
        table.append(pa.table(wrong))


def test_parts_from_before_a_column_was_there_have_nulls_in_it(
    table: Table, store: ObjectStore
) -> None:
    table.append(rows("a", 1, 2))
    wider = Table(store, "things", pa.schema([*SCHEMA, ("why", pa.string()), ("at", pa.int64())]))
    wider.append(pa.table({"who": ["b"], "n": [3], "why": ["new"], "at": [7]}))
    assert wider.read(["why", "n"]).to_pylist() == [
        {"why": None, "n": 1},
        {"why": None, "n": 2},
        {"why": "new", "n": 3},
    ]
    assert wider.read(["why"])["why"].to_pylist() == [None, None, "new"]
    wider.compact(min_parts=2)
    assert wider.read().schema == wider.schema
    assert table.read(["n"])["n"].to_pylist() == [1, 2, 3]


def test_a_part_of_another_table_is_no_part_of_this(table: Table, store: ObjectStore) -> None:
    Table(store, "things", pa.schema([("x", pa.int64())])).append(pa.table({"x": [1]}))
    with pytest.raises(TableDamagedError, match="none of the columns"):
        table.read()


def test_a_table_may_lie_elsewhere(store: ObjectStore) -> None:
    elsewhere = Table(store, "things", SCHEMA, prefix="embeddings/net-160/")
    elsewhere.append(rows("a", 1))
    elsewhere.append(rows("a", 2))
    elsewhere.compact(min_parts=2)
    assert [info.key for info in store.list("embeddings")] == [
        "embeddings/net-160/0000000000-0000000001.parquet"
    ]
    assert elsewhere.read(["n"])["n"].to_pylist() == [1, 2]
    assert Table(store, "things", SCHEMA).read().num_rows == 0


def test_an_append_is_there_if_the_widest_compaction_has_it(
    table: Table, store: ObjectStore
) -> None:
    """The narrower ones are not read."""
    store.create(table._key(_Part(0, 1)), table._encode(rows("a", 0, 1), ["ours"]))
    assert table._is_read(_Part(1, 1), "ours")
    store.create(table._key(_Part(0, 3)), table._encode(rows("b", 0, 1, 2, 3), ["theirs"]))
    assert not table._is_read(_Part(1, 1), "ours")
    assert table._is_read(_Part(1, 1), "theirs")
