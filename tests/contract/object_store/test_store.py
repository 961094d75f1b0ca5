"""The store's contract, for each adapter; and what only a folder can do wrong.

What only a bucket can do wrong is in ``test_object_store_s3.py``."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from object_store.errors import InvalidKey, KeyExists, KeyMissing, StoreError, StoreMissing
from object_store.listing import unread
from object_store.rows import MARKER
from object_store.store import ObjectStore

pytestmark = pytest.mark.contract

ADAPTERS = ["local", "memory", "s3"]


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "local":
            url = (tmp_path / "ein Löffel #1").as_uri()
        case "memory":
            url = "memory:///"
        case _:
            url = f"s3://{request.getfixturevalue('aws_environment').bucket()}/ein Löffel/+1"
    store = ObjectStore(url=url)
    store.ensure()
    return store


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def test_keys_are_create_only_and_of_racing_writers_one_wins(store: ObjectStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: store.create("a/b", b"%d" % i), range(16)))
    assert won.count(True) == 1
    assert store.get("a/b") == b"%d" % won.index(True)
    with pytest.raises(KeyExists, match="a/b"):
        store.put("a/b", b"other")
    assert store.get("a/b") == b"%d" % won.index(True)


def test_a_write_returns_the_etag_that_a_listing_has(store: ObjectStore) -> None:
    etag = store.create_tagged("raw/a.png", b"some bytes")
    assert etag
    (listed,) = store.list("raw")
    assert etag == listed.etag == store.head("raw/a.png").etag
    assert store.create_tagged("raw/a.png", b"other") is None
    assert store.create_tagged("raw/b.png", b"other") not in (None, etag)


def test_listing_is_sorted_and_of_whole_segments(store: ObjectStore) -> None:
    keys = ["x/b", "x/a/2", "x/a/1", "x-y/z", "x/ä 日本#z.jpg", "x/a.b"]
    for key in keys:
        store.put(key, key.encode())
    expected = sorted(key for key in keys if key.startswith("x/"))
    assert [info.key for info in store.list("x")] == expected
    assert [info.key for info in store.list("x/")] == expected
    assert [info.key for info in store.list("x", start_after="x/a/1")] == expected[2:]
    assert store.list("x/b") == []
    newest = store.newest("x")
    assert newest is not None
    assert newest.key == expected[-1]
    assert store.list_table("x").to_pylist() == [
        {"key": i.key, "size": i.size, "etag": i.etag, "last_modified": i.last_modified}
        for i in store.list("x")
    ]
    assert [store.head(key) for key in expected] == store.list("x")


def test_our_own_keys_are_listed_without_a_question_for_the_marker(store: ObjectStore) -> None:
    assert store.own_keys("pipes/a") == []
    for key in ("pipes/a/2.json", "pipes/a/1.json", "pipes/ab/1.json"):
        store.put(key, b"{}")
    store.delete(MARKER)
    assert store.own_keys("pipes/a") == ["pipes/a/1.json", "pipes/a/2.json"]
    assert store.own_keys("pipes/b") == []


def test_names_that_begin_alike_are_found(store: ObjectStore) -> None:
    for key in ("a/bc-1", "a/bc-2", "a/bd-1", "a/b", "a/bc-", "ab/bc-3", "a/bc-dir/x", "bc-4"):
        store.put(key, key.encode())
    for prefix in ("a", "a/"):
        found = [info.key for info in store.named(prefix, "bc-")]
        assert found == ["a/bc-", "a/bc-1", "a/bc-2", "a/bc-dir/x"]
    assert [info.key for info in store.named("", "bc")] == ["bc-4"]
    assert store.named("a", "x") == []


def test_reading(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    store.put("a/b", source)
    assert store.get("a/b") == b"0123456789"
    assert store.get_range("a/b", 2, 3) == b"234"
    with pytest.raises(StoreError):
        store.get_range("a/b", 8, 5)
    assert store.get_ranges("a/b", [7, 0, 5, 0], 3) == [b"789", b"012", b"567", b"012"]
    assert store.get_ranges("a/b", [], 3) == []
    with pytest.raises(StoreError):
        store.get_ranges("a/b", [0, 8], 3)
    with pytest.raises(KeyMissing):
        store.get_ranges("no/such", [0], 1)


def test_objects_of_a_folder_are_mapped_into_memory(store: ObjectStore) -> None:
    store.put("a/b", b"0123456789")
    store.put("a/none", b"")
    for key, data in (("a/b", b"0123456789"), ("a/none", b"")):
        mapped = store.mapped(key)
        assert mapped is None if store.root is None else mapped == data
    if store.root is not None:
        with pytest.raises(KeyMissing, match="no/such"):
            store.mapped("no/such")


def test_what_was_read_is_written_to_a_file(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a/b", b"0123456789")
    store.download("a/b", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == b"0123456789"
    assert store.uri("a/b").endswith("/a/b")


def test_reading_asynchronously_and_what_is_refused_is_not_read(store: ObjectStore) -> None:
    store.put("a/b", b"0123456789")
    sizes: list[int] = []

    async def admit(size: int) -> None:
        sizes.append(size)

    async def refuse(size: int) -> None:
        raise PermissionError(f"{size} are too many")

    assert asyncio.run(store.get_async("a/b", admit)) == asyncio.run(store.get_async("a/b"))
    assert sizes == [10]
    with pytest.raises(PermissionError, match="10 are too many"):
        asyncio.run(store.get_async("a/b", refuse))
    with pytest.raises(KeyMissing, match="no/such"):
        asyncio.run(store.get_async("no/such", admit))


@pytest.mark.parametrize("method", ["get", "head", "download"])
def test_a_missing_key_is_named(store: ObjectStore, method: str, tmp_path: Path) -> None:
    arguments = [tmp_path / "copy"] if method == "download" else []
    with pytest.raises(KeyMissing, match="no/such"):
        getattr(store, method)("no/such", *arguments)
    assert not list(tmp_path.glob("*copy*"))
    assert not store.exists("no/such")


def test_deleting_twice_is_fine_and_frees_the_key(store: ObjectStore) -> None:
    store.put("a", b"1")
    store.delete("a")
    store.delete("a")
    assert store.create("a", b"2")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "./a",
        "a\nb",
        "a\tb",
        "a#1",
        "\udcff",
        "é" * 121,
        "a/" * 600 + "a",
    ],
)
def test_keys_that_not_every_store_can_hold_are_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidKey):
        store.create(key, b"")
    assert [info.key for info in store.list("")] == [MARKER]


def test_nothing_there_is_only_believed_of_a_store_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="gone"):
        ObjectStore(url=(tmp_path / "gone").as_uri()).list("raw")
    (tmp_path / "unmounted").mkdir()
    with pytest.raises(StoreMissing, match="mounted"):
        ObjectStore(url=(tmp_path / "unmounted").as_uri()).list("raw")
    store = ObjectStore(url=(tmp_path / "set up").as_uri())
    store.ensure()
    store.ensure()
    assert store.list("raw") == []
    shutil.rmtree(tmp_path / "set up")
    with pytest.raises(StoreMissing):
        store.get("raw/a")


@pytest.mark.parametrize("url", ["s3:///prefix", "s3://bucket/a%20b", "s3://bucket/a#1"])
def test_a_bucket_is_named_plainly(url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        ObjectStore(url=url)


@pytest.mark.parametrize("url", ["relative/path", "file://host/path", "http://x/y", "/abs"])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="file:///absolute/path"):
        ObjectStore(url=url)


def test_a_copy_is_create_only_and_stands_by_itself(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    assert store.copy_object("a/b", "c/d")
    assert not store.copy_object("a/b", "c/d")
    store.delete("a/b")
    assert store.get("c/d") == b"1"
    with pytest.raises(KeyMissing, match="a/b"):
        store.copy_object("a/b", "e")
    with pytest.raises(InvalidKey):
        store.copy_object("c/d", "e#1")
    assert [info.key for info in store.list("")] == [MARKER, "c/d"]


def test_a_big_file_is_create_only_too_and_never_whole_in_memory(
    store: ObjectStore, tmp_path: Path
) -> None:
    big, other = tmp_path / "big", tmp_path / "other"
    big.write_bytes(os.urandom(1 << 20) * 35)
    other.write_bytes(bytes(17 << 20))
    assert store.create("a/big", big)
    assert not store.create("a/big", other)
    store.download("a/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert [info.key for info in store.list("a")] == ["a/big"]
    assert store.head("a/big").size == 35 << 20
    store.put("a/bytes", bytes(17 << 20))
    assert store.head("a/bytes").size == 17 << 20


def test_a_listing_may_be_looked_at_by_windows(store: ObjectStore) -> None:
    keys = [f"x/{number}" for number in range(7)]
    for key in keys:
        store.put(key, b"")
    seen, after, done = [], None, False
    while not done:
        rows, done = store.window("x", after, 3)
        assert rows.num_rows <= 3
        seen += rows["key"].to_pylist()
        after = seen[-1]
    assert seen == keys
    assert store.window("x", keys[-1], 3)[1]
    table, flaws = store.survey("x")
    assert table["key"].to_pylist() == keys
    assert flaws == []


def test_many_are_deleted_at_once_and_missing_ones_do_not_matter(store: ObjectStore) -> None:
    keys = [f"x/{number}" for number in range(5)]
    for key in keys:
        store.put(key, b"")
    store.delete_all([*keys[:4], "no/such"])
    store.delete_all([])
    assert [info.key for info in store.list("x")] == keys[4:]


# --- a folder only --------------------------------------------------------------------------


def test_one_impossible_name_does_not_hide_the_others(local: ObjectStore) -> None:
    assert local.root is not None
    local.put("raw/good.jpg", b"1")
    (local.root / "raw" / "tab\there.jpg").write_bytes(b"2")
    (local.root / "raw" / os.fsdecode(b"latin-\xe9.jpg")).write_bytes(b"3")
    (local.root / "raw" / "nowhere.jpg").symlink_to("/no/such/file")
    (local.root / "raw" / "loop").symlink_to(local.root / "raw", target_is_directory=True)
    assert [info.key for info in local.list("raw")] == ["raw/good.jpg"]
    reported = dict(local.unusable("raw"))
    assert "broken link" in reported.pop("raw/nowhere.jpg")
    assert set(reported) == {"raw/tab\there.jpg", "raw/latin-\\udce9.jpg"}
    assert all("rename" in reason for reason in reported.values())


def test_links_are_followed_and_pipes_and_broken_links_are_named(
    local: ObjectStore, tmp_path: Path
) -> None:
    assert local.root is not None
    local.put("raw/set/good.jpg", b"1")
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/2.png").write_bytes(b"2")
    raw = local.root / "raw"
    (raw / "file.png").symlink_to(tmp_path / "disk/2.png")
    (raw / "folder").symlink_to(tmp_path / "disk")
    (raw / "same.png").symlink_to("set/good.jpg")
    (raw / "itself").symlink_to("itself")
    os.mkfifo(raw / "set/pipe.png")
    table, flaws = local.survey("raw")
    keys = ["raw/file.png", "raw/folder/2.png", "raw/same.png", "raw/set/good.jpg"]
    assert table["key"].to_pylist() == keys
    reported = dict(flaws)
    assert "link to itself" in reported.pop("raw/itself")
    assert "pipe" in reported.pop("raw/set/pipe.png")
    assert not reported


def test_a_raw_folder_that_its_owner_put_on_another_disk_is_read(
    local: ObjectStore, tmp_path: Path
) -> None:
    assert local.root is not None
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/1.jpg").write_bytes(b"1")
    (tmp_path / "disk/2.jpg").symlink_to("1.jpg")
    (local.root / "raw").symlink_to(tmp_path / "disk")
    for prefix in ("raw", ""):
        keys = [info.key for info in local.list(prefix) if info.key.startswith("raw/")]
        assert keys == ["raw/1.jpg", "raw/2.jpg"]


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_listed(
    local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, nothing is denied: so the system's answer is played."""
    assert local.root is not None
    for key in ("raw/good.jpg", "raw/locked/1.jpg", "raw/lost+found/2.jpg"):
        local.put(key, b"1")
    (local.root / "raw/itself").symlink_to("itself")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith(("locked", "lost+found")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("object_store.rows.os.scandir", scandir)
    table, flaws = local.survey("raw")
    assert table["key"].to_pylist() == ["raw/good.jpg"]
    assert [name for name, _ in flaws] == ["raw/itself", "raw/locked/"]
    assert "Permission denied" in flaws[1][1]
    assert unread(table) == unread(local.list_table("raw")) == ["raw/locked/"]
    with pytest.raises(StoreError):  # who takes it for all there is, is not told less
        local.list("raw")
    monkeypatch.setattr("object_store.rows.os.scandir", real)
    assert unread(local.list_table("raw")) == []


def test_a_folder_is_no_object(local: ObjectStore) -> None:
    local.put("a/b", b"")
    with pytest.raises(InvalidKey, match="other keys lie below"):
        local.create("a", b"")
    with pytest.raises(InvalidKey, match="below an object"):
        local.create("a/b/c", b"")
    assert not local.exists("a")


def test_killed_writers_leave_nothing_half_written(local: ObjectStore) -> None:
    code = f"""
        from object_store.store import ObjectStore
        store = ObjectStore(url={local.url!r})
        for i in range(10**6):
            store.put(f"tables/{{i:06d}}", b"x" * 3_000_000)
    """
    writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    while len(local.list("tables")) < 3:
        assert writer.poll() is None
        time.sleep(0.002)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert {info.size for info in local.list("tables")} == {3_000_000}
    assert local.root is not None
    unfinished = local.root / "tables" / "000000#1"
    unfinished.write_bytes(b"x")
    (local.root / "raw").mkdir()
    (local.root / "raw" / "photo#1").write_bytes(b"a person's")
    assert local.sweep() == 0  # it might be a live writer's
    assert local.sweep(older_than_s=-1) >= 1
    assert not unfinished.exists()
    assert (local.root / "raw" / "photo#1").exists()


@pytest.mark.parametrize(
    ("options", "size", "remedy"),
    [("size=64k", 100_000, "disk is full"), ("size=64k,ro", 10, "read-only")],
)
def test_an_unwritable_store_names_place_and_remedy(
    tmp_path: Path, options: str, size: int, remedy: str
) -> None:
    code = f"""
        from object_store.store import ObjectStore
        from object_store.errors import StoreUnwritable
        store = ObjectStore(url={tmp_path.as_uri()!r})
        try:
            store.put("tables/part", b"x" * {size})
        except StoreUnwritable as error:
            print(error)
        print([entry.name for entry in store.root.rglob("*") if entry.is_file()])
    """
    mount = f"mount -t tmpfs -o {options} none '{tmp_path}' 2>/dev/null || exit 77"
    script = f'{mount}; exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        check=False,
        env={**os.environ, "CODE": textwrap.dedent(code)},
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("cannot mount a small disk here")
    assert remedy in done.stdout, done.stderr
    assert (tmp_path / "tables/part").as_uri() in done.stdout
    assert done.stdout.endswith("[]\n")
