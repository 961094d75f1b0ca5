"""``raw_images``: what is new is read, what is gone is known, and nothing else costs anything."""

import os
from typing import Any

import pytest

from assets.ingestion.image_index import (
    RAW,
    diff_listing,
    images_table,
    index_objects,
    newest_rows,
    usable_images,
)
from assets.ingestion.inspections import (
    INSPECTIONS,
    Inspection,
    read_inspections,
    write_inspections,
)
from object_store.errors import StoreMissing
from resources.arrivals.arrivals import write_notice
from training.images.images import inspect

pytestmark = pytest.mark.graph

NOTICED = {"ops": {"raw_images": {"config": {"noticed_only": True}}}}


def rows(world: Any) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in newest_rows(images_table(world.store).read()).to_pylist()}


def test_only_what_is_new_or_rewritten_is_read(
    world: Any, raw_reads: list[str], photo: Any
) -> None:
    for seed in range(5):
        world.add(f"{seed}.png", photo(seed))
    first = world.run("raw_images")
    assert len(raw_reads) == 5
    raw_reads.clear()
    again = world.run("raw_images")
    assert raw_reads == []
    assert again.version("raw_images") == first.version("raw_images")

    world.add("5.png", photo(5))
    world.tamper("raw/1.png", photo(11))
    world.store.delete("raw/2.png")
    third = world.run("raw_images")
    assert sorted(raw_reads) == ["raw/1.png", "raw/5.png"]
    assert third.version("raw_images") != first.version("raw_images")
    assert third.metadata("raw_images")["images"] == 5
    assert {key for key, row in rows(world).items() if row["status"] == "deleted"} == {"raw/2.png"}


def hand_on(world: Any, key: str) -> None:
    """What an ingest found of a stored image is in the store."""
    info = world.store.head(key)
    write_inspections(
        world.store, [Inspection(key, info.etag, info.size, inspect(world.store.get(key)))]
    )


def test_what_an_ingest_found_is_not_found_again_and_used_once(
    world: Any, raw_reads: list[str], photo: Any
) -> None:
    for seed in range(3):
        world.add(f"{seed}.png", photo(seed))
    read = world.run("raw_images")
    known = rows(world)
    world.store.delete_all([info.key for info in world.store.list("tables/images")])
    for key in ("raw/0.png", "raw/1.png"):
        hand_on(world, key)
    raw_reads.clear()
    handed_on = world.run("raw_images")
    assert raw_reads == ["raw/2.png"]
    assert handed_on.version("raw_images") == read.version("raw_images")
    facts = ("sha256", "phash", "width", "height", "mode", "format", "etag", "size", "status")
    assert {key: {f: row[f] for f in facts} for key, row in rows(world).items()} == {
        key: {f: row[f] for f in facts} for key, row in known.items()
    }
    assert world.store.list(INSPECTIONS) == []


def test_what_a_look_at_some_objects_did_not_see_stays_handed_on(
    world: Any, raw_reads: list[str], photo: Any
) -> None:
    world.add("a.png", photo(1))
    world.add("b.png", photo(2))
    hand_on(world, "raw/a.png")
    hand_on(world, "raw/b.png")
    write_notice(world.store, ["raw/a.png"], source="test", token="1")
    raw_reads.clear()
    assert world.run("raw_images", config=NOTICED).success
    (left,) = world.store.list(INSPECTIONS)
    assert read_inspections(world.store).rows["key"].to_pylist() == ["raw/b.png"]
    assert world.run("raw_images").success
    assert raw_reads == []
    assert not world.store.exists(left.key)


def test_a_copy_is_one_image_and_changes_no_version(world: Any, photo: Any) -> None:
    world.add("a.png", photo(1))
    first = world.run("raw_images")
    world.add("copy/of a.png", photo(1))
    second = world.run("raw_images")
    assert second.metadata("raw_images")["objects"] == 2
    assert second.metadata("raw_images")["images"] == 1
    assert second.version("raw_images") == first.version("raw_images")


def test_an_image_that_comes_back_is_indexed_again(world: Any, photo: Any) -> None:
    path = world.store.local_path("raw/a.png")
    world.add("a.png", photo(1))
    world.add("b.png", photo(2))
    first = world.run("raw_images")
    path.rename(world.home / "elsewhere.png")
    assert world.run("raw_images").metadata("raw_images")["images"] == 1
    (world.home / "elsewhere.png").rename(path)  # same inode, time and size: the same etag
    assert world.run("raw_images").version("raw_images") == first.version("raw_images")


def test_what_is_no_image_is_rejected_by_name_and_the_rest_goes_on(world: Any, photo: Any) -> None:
    tiny = world.with_settings(ingestion={"max_file_mb": 0.05, "max_unreadable_share": 0.9})
    tiny.add("good.png", photo(1))
    tiny.store.put("raw/empty.jpg", b"")
    tiny.store.put("raw/half.png", photo(2)[:-200])
    tiny.store.put("raw/notes.txt", b"buy milk")
    tiny.store.put("raw/huge.png", bytes(60_000))
    done = tiny.run("raw_images")
    assert done.success
    assert done.metadata("raw_images")["rejected"] == 4
    found = {key: row["reason"] for key, row in rows(tiny).items() if row["status"] == "rejected"}
    assert set(found) == {"raw/empty.jpg", "raw/half.png", "raw/huge.png", "raw/notes.txt"}
    assert "0.05 MB allowed" in found["raw/huge.png"]
    assert all(key in done.metadata("raw_images")["rejections"] for key in found)


def test_litter_is_passed_over_and_a_locked_folder_takes_nothing_away(
    world: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("a.png", photo(1))
    world.add("locked/b.png", photo(2))
    world.add("@eaDir/a.png/thumb.png", photo(3))
    first = world.run("raw_images")
    real = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("object_store.rows.os.scandir", scandir)
    world.add("c.png", photo(4))
    second = world.run("raw_images")
    facts = [done.metadata("raw_images") for done in (first, second)]
    assert [one["passed_over"] for one in facts] == [1, 1]
    assert [one["images"] for one in facts] == [2, 3]
    assert [one["unusable_names"] for one in facts] == [0, 1]
    assert {row["status"] for row in rows(world).values()} == {"ok"}


def test_a_store_that_is_not_there_is_not_an_empty_one(world: Any, photo: Any) -> None:
    world.add("a.png", photo(1))
    assert world.run("raw_images").success
    hidden = world.settings.store_dir.rename(world.home / "unmounted")
    world.settings.store_dir.mkdir()
    failed = world.run("raw_images")
    assert not failed.success
    assert "is the disk mounted" in failed.why
    world.settings.store_dir.rmdir()
    hidden.rename(world.settings.store_dir)
    assert rows(world)["raw/a.png"]["status"] == "ok"


def test_many_small_arrivals_leave_few_parts_and_every_row(world: Any, photo: Any) -> None:
    table = images_table(world.store)
    for seed in range(20):
        world.add(f"{seed}.png", photo(seed))
        diff = diff_listing(world.store.list_table(RAW), table.read())
        index_objects(world.store, table, diff, max_pixels=10**6, max_bytes=10**6)
    assert len(world.store.list("tables/images")) < 16
    assert usable_images(table.read()).num_rows == 20


def test_a_listing_differs_by_what_is_in_it(world: Any, photo: Any) -> None:
    table = images_table(world.store)

    def diff() -> Any:
        return diff_listing(world.store.list_table(RAW), table.read())

    assert not diff()
    world.add("a.png", photo(1))
    first = diff()
    assert first.new["key"].to_pylist() == ["raw/a.png"]
    assert diff().token == first.token
    world.add("b.png", photo(2))
    assert diff().token != first.token
    index_objects(world.store, table, diff(), max_pixels=10**6, max_bytes=10**6)
    assert not diff()
    world.settings.store_dir.rename(world.home / "gone")
    with pytest.raises(StoreMissing):
        diff()
