"""The comparison of a listing with the image table."""

import hashlib
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from assets.ingestion.image_index import diff_listing, images_version, newest_rows, usable_images
from object_store.listing import to_table, with_unread
from object_store.rows import local_rows

pytestmark = pytest.mark.unit


def indexed(*rows: tuple[str, str, str]) -> pa.Table:
    columns = ("key", "etag", "status")
    table = {
        name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(columns)
    }
    return pa.table({**table, "refused": pa.nulls(len(rows), pa.bool_())})


def listed(**objects: str) -> pa.Table:
    return pa.table({"key": list(objects), "etag": list(objects.values())})


def test_the_last_row_of_a_key_counts_and_the_order_of_appends_stays() -> None:
    rows = indexed(("b", "1", "ok"), ("a", "1", "ok"), ("b", "2", "ok"), ("c", "1", "ok"))
    chunked = pa.concat_tables([rows.slice(0, 2), rows.slice(2)])
    assert newest_rows(chunked).to_pylist() == rows.slice(1).to_pylist()


def test_what_was_deleted_and_came_back_is_new() -> None:
    table = indexed(("a", "1", "ok"), ("a", "", "deleted"), ("b", "1", "rejected"))
    assert diff_listing(listed(a="1", b="1"), table).new["key"].to_pylist() == ["a"]


def test_what_was_deleted_is_gone_once() -> None:
    table = indexed(("a", "1", "ok"), ("a", "", "deleted"), ("b", "1", "ok"))
    diff = diff_listing(listed(b="1"), table)
    assert diff.gone.to_pylist() == []
    assert not diff


@pytest.mark.parametrize(
    ("objects", "new", "gone"),
    [
        ({"a": "1", "b": "1"}, [], []),
        ({"a": "1", "b": "2"}, ["b"], []),
        ({"a": "1", "b": "1", "c": "1"}, ["c"], []),
        ({"b": "1"}, [], ["a"]),
    ],
)
def test_new_rewritten_and_gone_objects(
    objects: dict[str, str], new: list[str], gone: list[str]
) -> None:
    diff = diff_listing(listed(**objects), indexed(("a", "1", "ok"), ("b", "1", "ok")))
    assert (diff.new["key"].to_pylist(), diff.gone.to_pylist()) == (new, gone)
    assert bool(diff) == bool(new or gone)


LITTER = {"raw/a/@eaDir/1.jpg": "1", "raw/Thumbs.db": "1", "raw/b/._1.jpg": "1"}


def test_litter_is_not_new_but_what_was_taken_in_once_stays() -> None:
    good = {"raw/a/1.jpg": "1", "raw/.mine/2.jpg": "1", "raw/parts.part/3.jpg": "1"}
    diff = diff_listing(listed(**LITTER, **good), indexed())
    assert diff.new["key"].to_pylist() == list(good)
    assert diff.passed.keys() == LITTER.keys()
    known = indexed(*((key, "1", "ok") for key in LITTER), ("raw/x/.DS_Store", "", "deleted"))
    again = diff_listing(listed(**LITTER, **{"raw/x/.DS_Store": "2"}), known)
    assert (bool(again), list(again.passed)) == (False, ["raw/x/.DS_Store"])
    changed = diff_listing(listed(**dict.fromkeys(LITTER, "2")), known)
    assert (changed.new.num_rows, changed.passed) == (3, {})


def test_nothing_is_gone_from_a_folder_that_cannot_be_read() -> None:
    known = indexed(("raw/a/1", "1", "ok"), ("raw/ab/1", "1", "ok"), ("raw/b", "1", "ok"))
    listing = with_unread(listed(**{"raw/b": "1"}), [("raw/a/", "no"), ("raw/x", "a name")])
    assert diff_listing(listing, known).gone.to_pylist() == ["raw/ab/1"]


def test_an_image_under_two_keys_is_one_image() -> None:
    rows = pa.table(
        {
            "key": ["y", "x", "bad"],
            "status": ["ok", "ok", "rejected"],
            "sha256": ["aa", "aa", None],
        }
    )
    assert usable_images(rows)["key"].to_pylist() == ["x"]


@pytest.mark.parametrize("images", [0, 1, 30_001])
@pytest.mark.parametrize("bad", [0, 2, 10_001])
def test_the_version_is_a_hash_of_what_can_be_used_and_of_what_cannot(
    images: int, bad: int
) -> None:
    """The same as ever, whatever it is made with: it is the version of every data set's source."""
    good = [hashlib.sha256(str(number // 2).encode()).hexdigest() for number in range(images)]
    keys = [f"ü{number}" for number in range(images + bad)] + ["gone"]
    rows = {
        "key": keys,
        "sha256": [*good, *[None] * bad, None],
        "status": [*["ok"] * images, *["rejected"] * bad, "deleted"],
    }
    text = "\n".join([*sorted(set(good)), "", *sorted(keys[images : images + bad])])
    table = pa.table({name: pa.array(column, pa.string()) for name, column in rows.items()})
    assert images_version(table) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_copied_folder_has_nothing_new_and_swapped_files_are_new() -> None:
    def etag(inode: str, microseconds: int, size: str) -> str:
        return f'"{inode}-{microseconds:x}-{size}"'

    once, other, whole = 1_700_000_000_123_456, 1_700_000_000_123_457, 1_700_000_000_000_000
    table = indexed(
        ("a", etag("1", once, "ff"), "ok"),
        ("b", etag("2", other, "ff"), "ok"),
        ("c", etag("3", other, "ff"), "ok"),
        ("d", etag("4", whole, "aa"), "ok"),
        ("e", '"d41d8cd98f00b204e9800998ecf8427e-3"', "ok"),
    )

    def new(**objects: str) -> list[str]:
        listing = listed(
            **{**dict(zip("abcde", table["etag"].to_pylist(), strict=True)), **objects}
        )
        return diff_listing(listing, table).new["key"].to_pylist()

    assert new() == []
    assert new(a=etag("9", once, "ff")) == [], "another inode alone: a copy"
    assert new(a=etag("9", other, "ff"), b=etag("9", other, "fe")) == ["a", "b"]
    swapped = {"b": etag("3", other, "ff"), "c": etag("2", other, "ff")}
    assert new(**swapped) == ["b", "c"], "two of one time and size may be swapped"
    assert new(d=etag("9", whole, "aa")) == ["d"], "an archive keeps whole seconds"
    assert new(e='"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-3"') == ["e"], "a bucket's"


def test_the_files_of_a_copied_home_are_not_new(tmp_path: Path) -> None:
    raw = tmp_path / "home" / "raw"
    raw.mkdir(parents=True)
    for number in range(3):
        path = raw / f"{number}.png"
        path.write_bytes(bytes(number + 1))
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number * 1000))
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    before, after = (
        to_table(local_rows(tmp_path / name, "raw/", None)) for name in ("home", "copy")
    )
    assert before["etag"] != after["etag"]
    known = indexed(*((row["key"], row["etag"], "ok") for row in before.to_pylist()))
    assert not diff_listing(after, known)
