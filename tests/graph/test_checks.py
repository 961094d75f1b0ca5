"""Every check of the data, failed once for the reason that it names: it stops what follows in the
same run, and leaves a verdict that production will ask for."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.line import latest_metadata

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")


def content_version(world: Any, asset: str) -> str:
    name = "dataset_version" if asset == "dataset" else "content_version"
    return f"{asset}/{latest_metadata(world.instance, asset)[name]}"


def test_a_source_of_no_images_stops_the_line(world: Any, photo: Callable[..., bytes]) -> None:
    world.add_classes(2)
    for number in range(4):
        world.store.put(f"raw/{number}.txt", b"no image %d" % number)
    done = world.run(*DATA)
    assert not done.success
    assert done.checks["images_readable"] is False
    assert "dataset" not in done.materialized
    verdict = world.verdict(content_version(world, "raw_images"), "images_readable")
    assert verdict.blocks
    assert "4 of 10 objects" in verdict.reason
    assert "max_unreadable_share" in verdict.reason


def test_labels_of_another_schema_stop_the_line(world: Any) -> None:
    world.add_classes(2)
    done = world.with_settings(labels={"names": ["red", "green"]}).run(*DATA)
    assert not done.success
    assert "dataset" not in done.materialized
    verdict = world.verdict(content_version(world, "annotations"), "labels_known")
    assert verdict.blocks
    assert "2 of 6" in verdict.reason
    assert "unknown label 'blue'" in verdict.reason


def test_a_few_unknown_labels_only_warn(world: Any) -> None:
    world.add_classes(2)
    some = {"labels": {"names": ["red", "green"]}, "gates": {"max_unknown_label_share": 0.5}}
    done = world.with_settings(**some).run("annotations")
    assert done.success
    verdict = world.verdict(content_version(world, "annotations"), "labels_known")
    assert not verdict.passed
    assert not verdict.blocks


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        (lambda world: world.add_classes(12, labels=("red",)), "only 1 class (red)"),
        (lambda world: world.add_classes(1, labels=("red", "green")), "red: "),
    ],
    ids=["one class only", "two images in all"],
)
def test_too_few_classes_or_images_do_not_reach_training(
    world: Any, feed: Callable[[Any], None], told: str
) -> None:
    feed(world)
    done = world.run(*DATA, "trained_model")
    assert not done.success
    assert set(done.materialized) == set(DATA)
    verdict = world.verdict(content_version(world, "dataset"), "class_floor_met")
    assert verdict.blocks
    assert told in verdict.reason
    assert "imgclf ingest" in verdict.reason


def test_an_empty_class_is_named(world: Any) -> None:
    world.add_classes(2)
    done = world.with_settings(labels={"names": ["blue", "green", "red", "violet"]}).run(*DATA)
    assert done.checks["class_floor_met"] is False
    verdict = world.verdict(content_version(world, "dataset"), "class_floor_met")
    assert "violet: 0 in train, needs 5" in verdict.reason


def rewritten(world: Any, change: Callable[[list[dict[str, Any]]], None]) -> str:
    """A data set whose manifest somebody tampered with; its subject."""
    world.add_classes(6)
    done = world.run(*DATA)
    key = done.metadata("dataset")["manifest"]
    table = pq.read_table(io.BytesIO(world.store.get(key)))
    rows = table.to_pylist()
    change(rows)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink)
    world.tamper(key, sink.getvalue())
    return content_version(world, "dataset")


def test_a_conflicting_image_in_the_data_set_is_found(
    world: Any, photo: Callable[..., bytes]
) -> None:
    bad = world.add("twice.png", photo(900), "red")
    world.label(bad, "blue")

    def smuggle(rows: list[dict[str, Any]]) -> None:
        rows.append({**rows[0], "sha256": bad})

    subject = rewritten(world, smuggle)
    assert not world.verdict(subject, "no_label_conflicts").blocks
    assert world.check("dataset", "no_label_conflicts").checks == {"no_label_conflicts": False}
    verdict = world.verdict(subject, "no_label_conflicts")
    assert verdict.blocks
    assert "1 conflicting and 0 doubled" in verdict.reason


def test_a_doubled_image_in_the_data_set_is_found(world: Any) -> None:
    subject = rewritten(world, lambda rows: rows.append({**rows[0], "labels": ["violet"]}))
    world.check("dataset", "no_label_conflicts")
    assert "1 doubled" in world.verdict(subject, "no_label_conflicts").reason


def test_a_near_duplicate_in_another_split_is_found(
    world: Any, photo: Callable[..., bytes], png: Callable[..., bytes], pattern: Any
) -> None:
    copies = [world.add(f"{n}.png", png(pattern(70), "red", str(n)), "red") for n in range(2)]

    def leak(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["sha256"] in copies:
                row["split"] = "train" if row["sha256"] == copies[0] else "test"

    subject = rewritten(world, leak)
    assert not world.verdict(subject, "no_split_leakage").blocks
    assert world.check("dataset", "no_split_leakage").checks == {"no_split_leakage": False}
    verdict = world.verdict(subject, "no_split_leakage")
    assert verdict.blocks
    assert "1 near-duplicate pairs cross a split" in verdict.reason
    assert all(image[:12] in verdict.reason for image in copies)


@pytest.mark.parametrize(
    ("asset", "check"),
    [
        ("raw_images", "images_readable"),
        ("annotations", "labels_known"),
        ("dataset", "no_split_leakage"),
        ("trained_model", "export_matches_training"),
        ("evaluation_report", "beats_champion"),
    ],
)
def test_a_check_of_nothing_fails_and_says_so(world: Any, asset: str, check: str) -> None:
    done = world.check(asset, check)
    assert done.checks == {check: False}
    (found,) = done.result.get_asset_check_evaluations()
    assert "has not been materialized yet" in found.description
