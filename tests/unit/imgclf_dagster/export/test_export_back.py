"""The way back: ingest understands every export without options, with its labels and splits."""

import hashlib
from pathlib import Path

import pytest

from assets.policies import IngestionPolicy
from imgclf_dagster.export.run import export_dataset
from imgclf_dagster.ingest.ingest import ingest
from labelling.exports.formats import FORMATS
from labelling.labels.consensus import decide
from labelling.labels.schema import LabelSchema, Task
from labelling.labels.table import label_rows
from labelling.sources.items import SourceItem, source_items
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions
from tests.unit.imgclf_dagster.export.export_room import (
    Member,
    make_dataset,
    odd_classes,
    open_store,
    picture,
    said_of,
    same_names,
    several_labels,
    two_classes,
)

pytestmark = pytest.mark.unit


def of_classes(*labels: str) -> list[Member]:
    """An image of each class in every split."""
    return [
        Member(f"s/{number}{at}.png", (label,), split, picture(3000 + 3 * number + at))
        for number, label in enumerate(labels)
        for at, split in enumerate(("train", "val", "test"))
    ]


LIKE_SOMETHING_ELSE = [
    ("train", "dog"),
    ("images", "labels"),
    ("fold_0", "fold_1"),
    ("2024-01-01", "2024-01-02"),
    ("unlabelled", "background"),
    ("Monday", "Tuesday"),
    ("testrad", "backup"),
    ("only",),
    ("00", "1f", "2a", "3b", "a0", "b1", "c2", "ff"),
    ("9f86d081884c7d65", "60303ae22b998861"),
    ("cat", "cat_aug"),
    ("Golf 2019", "Polo 2020"),
    ("A01", "A02", "B01", "B02"),
    ("unklar", "Papierkorb"),
    ("à trier", "???"),
    ("camera", "screenshots"),
    ('"q"', "'s'"),
    ("NaN", "null"),
    ("n/a", "unknown"),
    ("none", "todo"),
    ("0", "1"),
]
ONE_LABEL = [
    pytest.param(form, images, id=f"{form}, {name}")
    for form in FORMATS
    for name, images in (
        ("plain", two_classes()),
        ("odd labels", odd_classes()),
        ("one name in all splits", same_names()),
    )
]


def with_signs() -> list[Member]:
    """Labels that hold what separates labels elsewhere."""
    return [
        Member("1.png", ("a|b", "c;d"), "train", picture(1)),
        Member("2.png", ("tench, Tinca tinca",), "train", picture(2)),
        Member("3.png", ("c;d", "tench, Tinca tinca"), "val", picture(3)),
        Member("4.png", (), "test", picture(4)),
    ]


SEVERAL = [form for form in FORMATS if form not in ("folder", "yolo-classify")]


def bring_back(
    images: list[Member], task: Task, form: str, place: Path, folder: Path
) -> dict[str, tuple[tuple[str, ...] | None, str | None]]:
    """Export, and read what was written: labels and split by sha256."""
    store = open_store(folder / "store")
    dataset = make_dataset(store, images, task=task)
    export_dataset(dataset, FORMATS[form], place, store=store)
    reading = read_source(place, ReadingOptions(task=task))
    # Classes that differ in case alone are asked about, wherever they come from.
    asked = [doubt for doubt in reading.doubts if "look alike" not in doubt.question]
    assert (asked, list(reading.rejections)) == ([], [])
    taken = {}
    for item in source_items(reading, max_file_bytes=1 << 20):
        assert isinstance(item, SourceItem), item
        labels = None if item.labels is None else tuple(sorted(item.labels))
        taken[hashlib.sha256(item.data).hexdigest()] = (labels, item.split)
    return taken


def expected(images: list[Member]) -> dict[str, tuple[tuple[str, ...], str]]:
    return {image.sha256: (tuple(sorted(image.labels)), image.split) for image in images}


@pytest.mark.parametrize("name", ["my set", "set.zip"])
@pytest.mark.parametrize(("form", "images"), ONE_LABEL)
def test_one_label_and_the_split_come_back(
    tmp_path: Path, form: str, images: list[Member], name: str
) -> None:
    taken = bring_back(images, "single_label", form, tmp_path / name, tmp_path)
    assert taken == expected(images)


@pytest.mark.parametrize("name", ["my set", "set.zip"])
@pytest.mark.parametrize("form", SEVERAL)
@pytest.mark.parametrize("images", [several_labels(), with_signs()], ids=["plain", "with signs"])
def test_several_labels_and_none_come_back(
    tmp_path: Path, images: list[Member], form: str, name: str
) -> None:
    taken = bring_back(images, "multi_label", form, tmp_path / name, tmp_path)
    assert taken == expected(images)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("labels", LIKE_SOMETHING_ELSE, ids=" ".join)
def test_classes_with_names_of_something_else_come_back(
    tmp_path: Path, form: str, labels: tuple[str, ...]
) -> None:
    images = of_classes(*labels)
    taken = bring_back(images, "single_label", form, tmp_path / "set", tmp_path)
    assert taken == expected(images)


def test_what_is_ingested_again_has_the_same_bytes_and_labels(tmp_path: Path) -> None:
    images = two_classes()
    store, back = open_store(tmp_path / "store"), open_store(tmp_path / "back")
    export_dataset(
        make_dataset(store, images), FORMATS["folder"], tmp_path / "set.zip", store=store
    )
    report = ingest(
        read_source(tmp_path / "set.zip", ReadingOptions()),
        store=back,
        policy=IngestionPolicy(),
        schema=LabelSchema(),
        keep_splits=True,
    )
    assert (report.new, report.rejected) == (len(images), [])
    snapshots = [(item.key, back.get(item.key)) for item in back.list("annotations/ingested/")]
    found = decide(label_rows(snapshots, LabelSchema())).labels.to_pylist()
    assert {row["sha256"]: tuple(row["labels"]) for row in found} == said_of(images)
