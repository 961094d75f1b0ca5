"""Every check of the data, failed once for the reason that it names: it stops what follows in the
same run, and leaves a verdict that production will ask for."""

import io
from collections.abc import Callable
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.dataset import versions as dataset_versions
from assets.records.all_records import RECORDS
from assets.records.materializations import require_materialization
from imgclf_dagster.checks import dataset as checks

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")


def content_version(world: Any, asset: str) -> str:
    name = "dataset_version" if asset == "dataset" else "content_version"
    found = require_materialization(world.instance, world.store, RECORDS[asset])
    return f"{asset}/{getattr(found, name)}"


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
    assert "2 of the 6 labels that count" in verdict.reason
    assert "imgclf labels rename blue CLASS" in verdict.reason
    assert 'names = ["red", "green", "blue"]' in verdict.reason
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
    ("feed", "expected"),
    [
        (lambda world: world.add_classes(12, labels=("red",)), "only 1 class (red)"),
        (lambda world: world.add_classes(1, labels=("red", "green")), "red: "),
    ],
    ids=["one class only", "two images in all"],
)
def test_too_few_classes_or_images_do_not_reach_training(
    world: Any, feed: Callable[[Any], None], expected: str
) -> None:
    feed(world)
    done = world.run(*DATA, "trained_model")
    assert not done.success
    assert set(done.materialized) == set(DATA)
    verdict = world.verdict(content_version(world, "dataset"), "class_floor_met")
    assert verdict.blocks
    assert expected in verdict.reason
    assert "imgclf ingest" in verdict.reason


def test_an_empty_class_is_named(world: Any) -> None:
    world.add_classes(2)
    done = world.with_settings(labels={"names": ["blue", "green", "red", "violet"]}).run(*DATA)
    assert done.checks["class_floor_met"] is False
    verdict = world.verdict(content_version(world, "dataset"), "class_floor_met")
    assert "violet: 0 in train, needs 2" in verdict.reason


def rewritten(
    world: Any, change: Callable[[list[dict[str, Any]]], None], patch: pytest.MonkeyPatch
) -> str:
    """A data set whose manifest somebody tampered with; its subject."""
    world.add_classes(6)
    done = world.run(*DATA)
    key = done.metadata("dataset")["manifest"]
    table = pq.read_table(io.BytesIO(world.store.get(key)))
    rows = table.to_pylist()
    change(rows)
    sink = io.BytesIO()
    # Without the seal of the former file, which the schema carries.
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema.remove_metadata()), sink)
    world.tamper(key, sink.getvalue())
    subject = content_version(world, "dataset")
    # As if it had been made so: one that was merely changed is found by its hash, and never judged.
    patch.setattr(dataset_versions, "version_of", lambda *_: subject.partition("/")[2])
    return subject


def test_a_conflicting_image_in_the_data_set_is_found(
    world: Any, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.add("twice.png", photo(900), "red")
    world.label(bad, "blue")

    def smuggle(rows: list[dict[str, Any]]) -> None:
        rows.append({**rows[0], "sha256": bad})

    subject = rewritten(world, smuggle, monkeypatch)
    assert not world.verdict(subject, "no_label_conflicts").blocks
    assert world.check("dataset", "no_label_conflicts").checks == {"no_label_conflicts": False}
    verdict = world.verdict(subject, "no_label_conflicts")
    assert verdict.blocks
    assert "1 conflicting and 0 doubled" in verdict.reason


def test_a_doubled_image_in_the_data_set_is_found(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = rewritten(
        world, lambda rows: rows.append({**rows[0], "labels": ["violet"]}), monkeypatch
    )
    world.check("dataset", "no_label_conflicts")
    assert "1 doubled" in world.verdict(subject, "no_label_conflicts").reason


def test_a_near_duplicate_in_another_split_is_found(
    world: Any,
    photo: Callable[..., bytes],
    png: Callable[..., bytes],
    pattern: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = [world.add(f"{n}.png", png(pattern(70), "red", str(n)), "red") for n in range(2)]

    def leak(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["sha256"] in copies:
                row["split"] = "train" if row["sha256"] == copies[0] else "test"

    subject = rewritten(world, leak, monkeypatch)
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


def test_a_share_of_unreadable_objects_just_at_the_bound_only_warns(world: Any) -> None:
    for rejected, blocks in ((2, False), (3, True)):
        found = {"objects": 10, "rejected": rejected, "content_version": f"v{rejected}"}
        world.instance.report_runless_asset_event(
            dg.AssetMaterialization("raw_images", metadata=found)
        )
        world.check("raw_images", "images_readable")
        assert world.verdict(f"raw_images/v{rejected}", "images_readable").blocks is blocks


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_class_that_lacks_images_of_one_split_is_below_its_floor(
    world: Any, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {
            "sha256": f"{label} {part} {number}",
            "labels": [label],
            "split": part,
            "group_id": f"{label} {part} {number}",
        }
        for label in ("cat", "dog")
        for part in ("train", "val", "test")
        for number in range(5)
        if (label, part) != ("dog", split)
    ]
    manifest = pa.Table.from_pylist(rows)
    monkeypatch.setattr(checks, "read_dataset_manifest", lambda *_: manifest)
    monkeypatch.setattr(checks, "read_card", lambda *_: {"labels": ["cat", "dog"]})
    made = dg.AssetMaterialization("dataset", metadata={"dataset_version": "v"})
    world.instance.report_runless_asset_event(made)
    world.check("dataset", "class_floor_met")
    verdict = world.verdict("dataset/v", "class_floor_met")
    assert verdict.blocks
    assert verdict.reason.startswith(f"dog: 0 in {split}, needs ")
    assert verdict.numbers["counts below their floor"] == 1
