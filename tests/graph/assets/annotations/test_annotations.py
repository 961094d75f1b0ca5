"""``annotations``: the newest usable word about an image counts, and what cannot be used is named."""

from datetime import timedelta
from typing import Any

import pytest

from assets.annotations.label_index import labelled_view
from labelling.labels.events import Rename, event_key, to_json

pytestmark = pytest.mark.graph

IMAGE, OTHER = "a" * 64, "b" * 64


def labels(world: Any) -> dict[str, list[str]]:
    return labelled_view(world.store, world.line.labels).labels


def test_the_newest_counts_whatever_the_order_of_arrival(world: Any) -> None:
    noon = world.clock + timedelta(hours=4)
    world.label(IMAGE, "dog", at=noon, annotator="bea")
    assert world.run("annotations").success
    world.label(IMAGE, "cat")  # arrives later, was said earlier
    late = world.run("annotations")
    assert labels(world) == {IMAGE: ["dog"]}
    world.label(IMAGE, "fox", at=noon + timedelta(hours=1))
    newest = world.run("annotations")
    assert labels(world) == {IMAGE: ["fox"]}
    assert newest.version("annotations") != late.version("annotations")
    world.label(IMAGE, "fox", at=noon + timedelta(hours=2), cancelled=True)
    world.run("annotations")
    assert labels(world) == {}


def test_the_version_is_what_counts_and_not_what_was_said(world: Any) -> None:
    world.label(IMAGE, "dog")
    first = world.run("annotations")
    world.label(IMAGE, "dog", at=world.later(), annotator="bea")
    again = world.run("annotations")
    assert again.metadata("annotations")["new"] == 1
    assert again.version("annotations") == first.version("annotations")
    assert world.run("annotations").metadata("annotations")["new"] == 0


def test_a_broken_snapshot_is_named_and_the_rest_counts(world: Any) -> None:
    world.label(IMAGE, "dog")
    world.store.put("annotations/half.json", b'{"sha256": "')
    world.store.put("annotations/other.json", b'{"sha256": "xyz", "labels": ["dog"]}')
    done = world.run("annotations")
    shown = done.metadata("annotations")["rejections"]
    assert "annotations/half.json" in shown
    assert "annotations/other.json" in shown
    assert "sha256" in shown
    assert labels(world) == {IMAGE: ["dog"]}


def test_an_unknown_label_is_named_until_the_schema_grows(world: Any) -> None:
    small = world.with_settings(labels={"names": ["cat", "dog"]})
    small.label(IMAGE, "dog")
    small.label(OTHER, "axolotl")
    done = small.run("annotations")
    assert labels(small) == {IMAGE: ["dog"]}
    assert "unknown label 'axolotl'" in done.metadata("annotations")["rejections"]

    big = world.with_settings(labels={"names": ["axolotl", "cat", "dog"]})
    grown = big.run("annotations")
    assert grown.metadata("annotations")["new"] == 0
    assert grown.metadata("annotations")["rejected"] == 0
    assert labels(big) == {IMAGE: ["dog"], OTHER: ["axolotl"]}
    assert grown.version("annotations") != done.version("annotations")


def test_several_labels_need_the_task_that_allows_them(world: Any) -> None:
    world.label(IMAGE, "dog", "wet")
    assert "single_label" in world.run("annotations").metadata("annotations")["rejections"]
    many = world.with_settings(labels={"task": "multi_label"})
    assert many.run("annotations").metadata("annotations")["rejected"] == 0
    assert labels(many) == {IMAGE: ["dog", "wet"]}


def rename(world: Any, old: str, new: str) -> None:
    event = Rename(at=world.later(), by="me", old=(old,), new=new)
    world.store.create(event_key(event), to_json(event))


def test_a_class_that_was_renamed_in_the_settings_and_ingested_again_blocks_nothing(
    world: Any,
) -> None:
    """Case F07: the superseded labels are unknown, and of no consequence."""
    for number in range(30):
        world.label(f"{number:064x}", "cat" if number % 2 else "dog")
    world.later()
    for number in range(0, 30, 2):
        world.label(f"{number:064x}", "hound", at=world.clock)
    done = world.with_settings(labels={"names": ["cat", "hound"]}).run("annotations")
    assert done.checks["labels_known"]
    verdict = world.verdict(
        f"annotations/{done.metadata('annotations')['content_version']}", "labels_known"
    )
    assert verdict.passed
    assert verdict.reason == "0 of the 30 labels that count are unknown"
    assert done.metadata("annotations")["rejected"] == 0
    assert done.metadata("annotations")["rejections"] == "none"


def test_a_renamed_class_is_another_version_of_the_same_labels(world: Any) -> None:
    named = world.with_settings(labels={"names": ["cat", "dog"]})
    named.label(IMAGE, "dog")
    named.label(OTHER, "cat")
    before = named.run("annotations")
    rename(world, "dog", "hound")
    after = named.run("annotations")
    assert after.checks["labels_known"]
    assert after.version("annotations") != before.version("annotations")
    assert labels(named) == {IMAGE: ["hound"], OTHER: ["cat"]}
    assert named.run("annotations").version("annotations") == after.version("annotations")
