"""The comparison of a listing with the image table."""

import pyarrow as pa
import pytest

from assets.image_index import diff_listing, newest_rows, usable_images

pytestmark = pytest.mark.unit


def indexed(*rows: tuple[str, str, str]) -> pa.Table:
    columns = ("key", "etag", "status")
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(columns)})


def listed(**objects: str) -> pa.Table:
    return pa.table({"key": list(objects), "etag": list(objects.values())})


def test_the_last_row_of_a_key_counts_and_the_order_of_appends_stays() -> None:
    rows = indexed(("b", "1", "ok"), ("a", "1", "ok"), ("b", "2", "ok"), ("c", "1", "ok"))
    chunked = pa.concat_tables([rows.slice(0, 2), rows.slice(2)])
    assert newest_rows(chunked).to_pylist() == rows.slice(1).to_pylist()


def test_what_was_deleted_and_came_back_is_new() -> None:
    table = indexed(("a", "1", "ok"), ("a", "", "deleted"), ("b", "1", "rejected"))
    assert diff_listing(listed(a="1", b="1"), table).new["key"].to_pylist() == ["a"]


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


def test_an_image_under_two_keys_is_one_image() -> None:
    rows = pa.table(
        {
            "key": ["y", "x", "bad"],
            "status": ["ok", "ok", "rejected"],
            "sha256": ["aa", "aa", None],
        }
    )
    assert usable_images(rows)["key"].to_pylist() == ["x"]
