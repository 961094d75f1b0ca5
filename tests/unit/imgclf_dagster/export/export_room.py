"""A store with a data set in it, made at once and without the line, for the tests of exports."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from PIL import Image

from assets.dataset.assembly import ROWS_SCHEMA, Assembly
from assets.dataset.shards import write_shards
from assets.dataset.versions import version_of
from assets.dataset.writing import write_dataset
from assets.policies import SplitPolicy
from imgclf_dagster.export.choice import ChosenDataset, choose_dataset
from object_store.store import ObjectStore
from training.data.manifest import dataset_version

ODD = ["n/a", "Cat", "cat", "con", ".net", "a|b", "end."]


def picture(number: int, kind: str = "PNG") -> bytes:
    """A picture that is no other number's."""
    sink = io.BytesIO()
    Image.new("RGB", (8, 6), (number % 256, number // 256, 99)).save(sink, kind)
    return sink.getvalue()


@dataclass(frozen=True)
class Member:
    """An image of a data set: its path below ``raw/``, its labels, its split, its bytes."""

    file: str
    labels: tuple[str, ...]
    split: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def members(*said: tuple[str, str, str]) -> list[Member]:
    """Members by (file, labels as ``a|b``, split), each another picture."""
    return [
        Member(file, tuple(filter(None, labels.split("|"))), split, picture(number))
        for number, (file, labels, split) in enumerate(said)
    ]


def two_classes(each: int = 6) -> list[Member]:
    """Cats and dogs in all splits; of more, the first are the same ones."""
    splits = ("train", "train", "train", "train", "val", "test")
    return [
        Member(
            f"set/{label}/{number}.png", (label,), splits[number % 6], picture(100 * at + number)
        )
        for at, label in enumerate(("cat", "dog"))
        for number in range(each)
    ]


def odd_classes() -> list[Member]:
    """Labels that cannot name a folder everywhere, an image of each in every split."""
    return [
        Member(f"set/{number}-{split}.png", (label,), split, picture(1000 + 3 * number + at))
        for number, label in enumerate(ODD)
        for at, split in enumerate(("train", "val", "test"))
    ]


def same_names() -> list[Member]:
    """Images of one name in every class and split."""
    return [
        Member(f"{label}/{split}/1.png", (label,), split, picture(2000 + 3 * number + at))
        for number, label in enumerate(("cat", "dog", "eel"))
        for at, split in enumerate(("train", "val", "test"))
    ]


def several_labels() -> list[Member]:
    return members(
        ("set/1.png", "boat|sea", "train"),
        ("set/2.png", "boat", "train"),
        ("set/3.png", "", "train"),
        ("set/4.png", "sea", "val"),
        ("set/5.png", "boat|sea", "test"),
    )


def open_store(folder: Path) -> ObjectStore:
    """A store in a new folder."""
    store = ObjectStore(url=folder.as_uri())
    store.ensure()
    return store


def make_dataset(
    store: ObjectStore,
    images: Sequence[Member],
    *,
    task: str = "single_label",
    labels: Sequence[str] = (),
) -> ChosenDataset:
    """Write a data set of these images, as ``dataset`` does."""
    for image in images:
        store.create(f"raw/{image.file}", image.data)
    rows = [
        {
            "sha256": image.sha256,
            "labels": sorted(image.labels),
            "split": image.split,
            "group_id": image.sha256[:8],
            "width": 8,
            "height": 6,
            "raw_key": f"raw/{image.file}",
        }
        for image in images
    ]
    names = tuple(labels) or tuple(sorted({name for image in images for name in image.labels}))
    ordered = pa.Table.from_pylist(rows, schema=ROWS_SCHEMA).sort_by("sha256")
    content = dataset_version(ordered)
    version = version_of(content, task, names)
    assembly = Assembly(version, task, names, ordered, {}, [], 0)
    placed = write_shards(store, assembly, progress=lambda _: None)
    write_dataset(store, assembly, placed, SplitPolicy())
    return choose_dataset(store, version)


def said_of(images: Sequence[Member]) -> dict[str, tuple[str, ...]]:
    """The labels by sha256."""
    return {image.sha256: tuple(sorted(image.labels)) for image in images}


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shards_of(store: ObjectStore) -> list[Path]:
    """The files of its shards."""
    assert store.root is not None
    return sorted((store.root / "datasets/shards").glob("*.tar"))
