"""``dataset``: versioned by content, splits for ever, and nothing in it that should stay out."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image

from assets.dataset.repair import restore_version
from assets.dataset.versions import DATASETS
from assets.release.verification import dataset_objections
from labelling.labels.events import Rename, event_key, to_json
from training.data.manifest import ShardReader
from training.groups.groups import founders_split

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def built(world: Any) -> str:
    """The data set version made of what is there."""
    done = world.run(*DATA)
    assert done.metadata("dataset"), done.why
    return done.version("dataset")


def objects(world: Any) -> list[str]:
    """The objects of all data sets, but for the records that are named by the clock."""
    keys = [info.key for info in world.store.list(DATASETS)]
    return [key for key in keys if "/sources/" not in key]


def test_a_version_is_its_content(
    world: Any, tmp_path: Any, empty_world: Callable[..., Any]
) -> None:
    world.add_classes(8)
    first = built(world)
    assert built(world) == first
    written = objects(world)

    other = empty_world(tmp_path / "other")
    for info in reversed(world.store.list("raw")):  # the other way round, under other names
        other.store.put(f"raw/elsewhere/{info.key.replace('/', '-')}", world.store.get(info.key))
    for info in reversed(world.store.list("annotations")):
        other.store.put(info.key, world.store.get(info.key))
    assert built(other) == first
    assert objects(other) == written


def test_the_task_and_the_labels_are_part_of_the_content(world: Any) -> None:
    world.add_classes(8)
    versions = {
        built(world.with_settings(labels=labels)): labels
        for labels in (
            {"names": ["red", "green", "blue"]},
            {"names": ["blue", "green", "red"]},
            {"names": ["blue", "green", "red", "none"]},
            {"names": ["blue", "green", "red"], "task": "multi_label"},
        )
    }
    assert len(versions) == 4
    for version, labels in versions.items():
        card = world.card(version)
        assert card["labels"] == labels["names"]
        assert card["task"] == labels.get("task", "single_label")


def test_an_image_keeps_its_split_and_its_shard_when_data_grows(
    world: Any, raw_reads: list[str]
) -> None:
    world.add_classes(8)
    first = built(world)
    before = world.manifest(first)
    raw_reads.clear()
    world.later()
    world.add_classes(4, start=100)
    second = built(world)
    after = world.manifest(second)
    assert second != first
    assert len(before) == 24
    assert len(after) == 36
    kept = ("split", "group_id", "shard", "offset", "length")
    for image, row in before.items():
        assert {name: after[image][name] for name in kept} == {name: row[name] for name in kept}
    fresh = set(after) - set(before)
    assert {after[image]["shard"] for image in fresh}.isdisjoint(
        row["shard"] for row in before.values()
    )
    packed = [key for key in raw_reads if int(key[-8:-4]) < 100]
    assert len(packed) <= 24  # contact sheets look at the old ones once, nothing packs them


def test_every_image_lies_where_the_manifest_says(world: Any) -> None:
    world.add_classes(4)
    version = built(world)
    with ShardReader(world.settings.store_dir / "datasets") as reader:
        for image, row in world.manifest(version).items():
            data = reader.read(row["shard"], row["offset"], row["length"])
            assert data == world.store.get(row["raw_key"])
            assert world.store.head(row["raw_key"]).size == row["length"], image


def test_a_picture_that_changed_since_it_was_indexed_is_not_packed(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add("a.png", photo(1), "red")
    assert world.run("raw_images", "annotations").success
    world.tamper("raw/a.png", photo(2))
    failed = world.run("dataset")
    assert "raw/a.png" in failed.why
    assert not world.store.list(f"{DATASETS}shards")
    world.label(world.add("b.png", photo(3)), "red")
    assert "dataset" in world.run(*DATA).materialized


def test_a_version_stands_on_what_it_came_out_of_the_last_time(
    world: Any, photo: Callable[..., bytes]
) -> None:
    """Made while something beside it was wrong, it is not held up once that is put right."""
    world.add_classes(8)
    for number in range(40):
        world.store.put(f"raw/broken-{number}.png", b"no image %d" % number)
    world.run("raw_images", "annotations")
    version = world.run("dataset").version("dataset")  # by hand, past the failed check
    assert "images_readable failed" in " ".join(dataset_objections(world.store, version))
    for number in range(40):
        world.store.delete(f"raw/broken-{number}.png")
    assert built(world) == version
    assert "images_readable" not in " ".join(dataset_objections(world.store, version))


def test_the_card_and_the_metadata_tell_what_is_in_it(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add_classes(8)
    world.add("unlabelled.png", photo(500))
    done = world.run(*DATA)
    version = done.version("dataset")
    card = world.card(version)
    assert card["labels"] == ["blue", "green", "red"]
    assert {label: sum(n.values()) for label, n in card["counts"].items()} == dict.fromkeys(
        card["labels"], 8
    )
    assert card["unlabelled"] == 1
    assert done.metadata("dataset")["images"] == 24
    assert "| red |" in done.metadata("dataset")["counts"]
    for label in card["labels"]:
        assert (
            f"![{label}](data:image/jpeg;base64," in done.metadata("dataset")[f"images of {label}"]
        )
        key = card["contact_sheets"][label]
        with Image.open(world.store.local_path(key)) as sheet:
            strongest = int(np.asarray(sheet.convert("RGB")).mean(axis=(0, 1)).argmax())
        assert ("red", "green", "blue")[strongest] == label


def test_a_label_conflict_stays_out_until_a_person_decides(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add_classes(4)
    both = world.add("mountain/7037.png", photo(77), "red")
    world.store.put("raw/sea/6337.png", photo(77))
    world.label(both, "blue")
    first = world.run(*DATA)
    assert first.metadata("dataset")["conflicts"] == 1
    assert both not in world.manifest(first.version("dataset"))
    assert world.card(first.version("dataset"))["conflicts"][0]["sha256"] == both
    world.label(both, "blue", at=world.later(), source="label_studio", annotator="bea")
    second = world.run(*DATA)
    assert second.metadata("dataset")["conflicts"] == 0
    assert world.manifest(second.version("dataset"))[both]["labels"] == ["blue"]


def test_a_picture_between_two_splits_stays_out(
    world: Any, png: Callable[..., bytes], pattern: Callable[[int], np.ndarray]
) -> None:
    one, between, other = bridge(png, pattern)
    world.add_classes(4)
    world.add("one.png", one, "red")
    world.add("other.png", other, "red")
    before = world.manifest(built(world))
    middle = world.add("between.png", between, "red", at=world.later())
    done = world.run(*DATA)
    assert world.manifest(done.version("dataset")) == before
    facts = done.metadata("dataset")["left_out"]
    assert f"| near-duplicate of images in different splits | 1 | `{middle[:12]}` |" in facts


def test_near_duplicates_share_a_split(
    world: Any, png: Callable[..., bytes], pattern: Callable[[int], np.ndarray]
) -> None:
    images = [
        world.add(f"{number}-{copy}.png", png(pattern(number), "red", f"copy {copy}"), "red")
        for number in range(8)
        for copy in range(6)
    ]
    rows = world.manifest(built(world))
    for start in range(0, len(images), 6):
        assert len({rows[image]["split"] for image in images[start : start + 6]}) == 1
    assert len({row["split"] for row in rows.values()}) > 1


def test_without_a_labelled_image_there_is_no_data_set(
    world: Any, photo: Callable[..., bytes]
) -> None:
    world.add("a.png", photo(1))
    failed = world.run(*DATA)
    assert not failed.success
    assert "label some" in failed.why


def bridge(
    png: Callable[..., bytes], pattern: Callable[[int], np.ndarray]
) -> tuple[bytes, bytes, bytes]:
    """Three pictures: near-duplicates are the first two and the last two, but not first and last;
    and first and last found groups of different splits."""

    def bits(shape: np.ndarray) -> int:
        with Image.open(io.BytesIO(png(shape))) as image:
            return int(str(imagehash.phash(image)), 16)

    shapes = [pattern(1) * (1 - t) + pattern(2) * t for t in np.linspace(0, 1, 200)]
    hashes = [bits(shape) for shape in shapes]
    for start, first in enumerate(hashes):
        for end in range(start + 2, len(hashes)):
            far = (first ^ hashes[end]).bit_count()
            if far > 8:
                break
            middle = next(
                (
                    position
                    for position in range(start, end)
                    if far > 4
                    and (first ^ hashes[position]).bit_count() <= 4
                    and (hashes[end] ^ hashes[position]).bit_count() <= 4
                ),
                None,
            )
            if middle is not None:
                wanted = {"train": shapes[start], "test": shapes[end]}
                founders = [
                    next(
                        data
                        for note in range(1000)
                        if founders_split(
                            hashlib.sha256(data := png(shape, "red", str(note))).hexdigest(), SHARES
                        )
                        == split
                    )
                    for split, shape in wanted.items()
                ]
                return founders[0], png(shapes[middle]), founders[1]
    raise AssertionError("no such pictures between these two patterns")


def test_a_renamed_class_keeps_its_place_and_the_doctor_knows_the_order(world: Any) -> None:
    named = world.with_settings(labels={"names": ["green", "red", "blue"]})
    named.add_classes(2)
    first = named.run("raw_images", "annotations", "dataset").metadata("dataset")
    event = Rename(at=world.later(), by="me", old=("red",), new="crimson")
    named.store.put(event_key(event), to_json(event))
    done = named.run("annotations", "dataset")
    version = done.metadata("dataset")["dataset_version"]
    assert version != first["dataset_version"]
    card = named.card(version)
    assert card["labels"] == ["green", "crimson", "blue"]
    assert "crimson" in done.metadata("annotations")["former_names"]
    named.tamper(f"{DATASETS}{version}/card.json", b"")
    assert restore_version(named.store, named.line, version) == "written again from the manifest"
    assert named.card(version)["labels"] == card["labels"]
    assert named.run("annotations", "dataset").metadata("dataset")["dataset_version"] == version


def test_an_image_with_none_of_the_labels_is_in_the_data_set(
    world: Any, photo: Callable[..., bytes]
) -> None:
    several = world.with_settings(labels={"task": "multi_label"})
    several.add_classes(2)
    negative = several.add("none.png", photo(99))
    several.label(negative)
    several.add("nobody.png", photo(98))
    done = several.run("raw_images", "annotations", "dataset")
    found = done.metadata("dataset")
    assert (found["negatives"], found["unlabelled"]) == (1, 1)
    assert several.manifest(found["dataset_version"])[negative]["labels"] == []
    assert "none of the labels" in done.metadata("annotations")["labels"]
    single = world.with_settings(labels={"task": "single_label"}).run("annotations")
    assert "multi_label" in single.metadata("annotations")["rejections"]
