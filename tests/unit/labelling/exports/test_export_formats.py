"""What an export says, by the readers of each format: torchvision, datasets, pycocotools, Label
Studio's own check, and our ingest."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from imgclf_dagster.export.run import export_dataset
from labelling.exports.contents import CannotHold
from labelling.exports.formats import FORMATS
from object_store.store import ObjectStore
from tests.unit.imgclf_dagster.export.export_room import (
    Member,
    make_dataset,
    members,
    odd_classes,
    open_store,
    said_of,
    several_labels,
    two_classes,
)

pytestmark = pytest.mark.unit

Taken = dict[str, tuple[str, ...]]
"""Labels by sha256."""


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path / "store")


@pytest.fixture
def export(tmp_path: Path, store: ObjectStore) -> Callable[..., Path]:
    """Exports these images; the folder."""

    def run(form: str, images: list[Member], task: str = "single_label") -> Path:
        place = tmp_path / f"out {form}"
        report = export_dataset(
            make_dataset(store, images, task=task), FORMATS[form], place, store=store
        )
        assert (report.written, report.asked, report.aside) == (len(images), len(images), [])
        return place

    return run


def sha_of(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def by_split(images: list[Member], split: str) -> Taken:
    return said_of([image for image in images if image.split == split])


def by_image_folder(folder: Path, **options: Any) -> Taken:
    from torchvision.datasets import ImageFolder

    found = ImageFolder(folder, **options)
    return {sha_of(path): (found.classes[number],) for path, number in found.samples}


@pytest.mark.parametrize("form", ["folder", "yolo-classify"])
def test_torchvision_reads_each_split_with_its_classes(
    export: Callable[..., Path], form: str
) -> None:
    images = two_classes()
    place = export(form, images)
    for split in ("train", "val", "test"):
        assert by_image_folder(place / split) == by_split(images, split)


def test_ultralytics_finds_every_class_in_every_split(export: Callable[..., Path]) -> None:
    """Its ClassificationDataset numbers classes by the folders of each split, and allows empty
    ones (``ImageFolder(root, allow_empty=True)``)."""
    from torchvision.datasets import ImageFolder

    images = members(
        ("s/1.png", "ant", "train"),
        ("s/2.png", "bee", "train"),
        ("s/3.png", "bee", "val"),
    )
    place = export("yolo-classify", images)
    numbers = [ImageFolder(place / s, allow_empty=True).class_to_idx for s in ("train", "val")]
    assert numbers == [{"ant": 0, "bee": 1}] * 2
    assert by_image_folder(place / "val", allow_empty=True) == by_split(images, "val")


@pytest.mark.parametrize("form", ["folder", "yolo-classify"])
def test_labels_that_cannot_name_a_folder_are_listed_exactly(
    export: Callable[..., Path], form: str
) -> None:
    images = odd_classes()
    place = export(form, images)
    rows = [json.loads(line) for line in (place / "labels.jsonl").read_bytes().splitlines()]
    assert {sha_of(place / row["file_name"]): tuple(row["labels"]) for row in rows} == said_of(
        images
    )
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    folders = {path.name for path in (place / "train").iterdir()}
    assert folders == {"n_a", "Cat", "cat-2", "_con", "_net", "a_b", "end_"}


def test_plain_labels_need_no_list(export: Callable[..., Path]) -> None:
    assert not (export("folder", two_classes()) / "labels.jsonl").exists()


@pytest.mark.parametrize("form", ["folder", "yolo-classify"])
def test_several_labels_are_refused_with_the_formats_that_hold_them(
    export: Callable[..., Path], form: str
) -> None:
    with pytest.raises(CannotHold, match=r"3 of 5 images.*huggingface, coco or label-studio"):
        export(form, several_labels(), "multi_label")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``datasets.load_dataset``, offline, with its cache in the test's folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    import datasets

    def run(*what: str, **options: str) -> Any:
        return datasets.load_dataset(*what, **options, cache_dir=str(tmp_path / "cache"))

    return run


def by_datasets(found: Any) -> dict[str, Taken]:
    """What ``datasets`` read, by split."""
    import datasets

    taken: dict[str, Taken] = {}
    for split, rows in found.items():
        raw = rows.cast_column("image", datasets.Image(decode=False))
        column = "label" if "label" in raw.features else "labels"
        names = getattr(raw.features[column], "names", None)
        taken[split] = {}
        for row in raw:
            answer = row[column]
            labels = answer if isinstance(answer, list) else [names[answer] if names else answer]
            taken[split][sha_of(row["image"]["path"])] = tuple(sorted(labels))
    return taken


def expected(images: list[Member]) -> dict[str, Taken]:
    return {
        theirs: by_split(images, ours)
        for ours, theirs in (("train", "train"), ("val", "validation"), ("test", "test"))
    }


def test_datasets_reads_a_label_class_and_splits(
    export: Callable[..., Path], load: Callable[..., Any]
) -> None:
    from datasets import ClassLabel

    images = two_classes()
    place = export("huggingface", images)
    found = load("imagefolder", data_dir=str(place))
    assert found["train"].features["label"] == ClassLabel(names=["cat", "dog"])
    assert by_datasets(found) == expected(images)
    assert by_datasets(load(str(place))) == expected(images), "as the Hub does, by its card"


@pytest.mark.parametrize(
    ("images", "task"),
    [
        pytest.param(odd_classes(), "single_label", id="labels that cannot name a folder"),
        pytest.param(several_labels(), "multi_label", id="several labels, and none"),
        pytest.param(
            members(
                ("s/1.png", "pregnancy test", "train"),
                ("s/2.png", "eval", "train"),
                ("s/3.png", "train", "val"),
                ("s/4.png", "eval", "test"),
            ),
            "single_label",
            id="labels that name a split",
        ),
        pytest.param(
            members(("s/1.png", "a", "train"), ("s/2.png", "b", "val"), ("s/3.png", "a", "test")),
            "single_label",
            id="one class in train",
        ),
    ],
)
def test_datasets_reads_labels_exactly_where_folders_cannot_say_them(
    export: Callable[..., Path], load: Callable[..., Any], images: list[Member], task: str
) -> None:
    place = export("huggingface", images, task)
    found = load("imagefolder", data_dir=str(place))
    assert by_datasets(found) == expected(images)
    assert by_datasets(load(str(place))) == expected(images)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_pycocotools_reads_labels_of_whole_images(export: Callable[..., Path], task: str) -> None:
    from torchvision.datasets import CocoDetection

    images = several_labels() if task == "multi_label" else odd_classes()
    place = export("coco", images, task)
    for split in ("train", "val", "test"):
        found = CocoDetection(place / split, place / f"annotations/instances_{split}.json")
        names = {row["id"]: row["name"] for row in found.coco.loadCats(found.coco.getCatIds())}
        taken = {}
        for number in found.ids:
            entry = found.coco.loadImgs(number)[0]
            assert (entry["width"], entry["height"]) == (8, 6)
            notes = found.coco.loadAnns(found.coco.getAnnIds(number))
            assert not any("bbox" in note for note in notes)
            path = place / split / entry["file_name"]
            taken[sha_of(path)] = tuple(sorted(names[note["category_id"]] for note in notes))
        assert taken == by_split(images, split)
        assert set(names.values()) == {label for image in images for label in image.labels}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_label_studio_takes_the_tasks_and_finds_the_images(
    export: Callable[..., Path], task: str
) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    images = several_labels() if task == "multi_label" else odd_classes()
    place = export("label-studio", images, task)
    page = LabelInterface((place / "label_config.xml").read_text(encoding="utf-8"))
    taken, splits = {}, {}
    for entry in json.loads((place / "tasks.json").read_text(encoding="utf-8")):
        assert page.validate_task({"data": entry["data"]})
        (annotation,) = entry["annotations"]
        assert page.validate_annotation(annotation)
        labels = [label for one in annotation["result"] for label in one["value"]["choices"]]
        address = urlsplit(entry["data"]["image"])
        assert address.path == "/data/local-files/"
        # As the server does: the path below LOCAL_FILES_DOCUMENT_ROOT, here the export's parent.
        path = place.parent / parse_qs(address.query)["d"][0]
        assert sha_of(path) == entry["data"]["sample_id"]
        taken[entry["data"]["sample_id"]] = tuple(sorted(labels))
        splits[entry["data"]["sample_id"]] = entry["data"]["split"]
    assert taken == said_of(images)
    assert splits == {image.sha256: image.split for image in images}
