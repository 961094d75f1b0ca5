"""An export is whole or not there, may be interrupted at will, and names what it lacks."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imgclf_dagster.export import folder as folder_module
from imgclf_dagster.export.choice import ChosenDataset
from imgclf_dagster.export.errors import ExportError
from imgclf_dagster.export.folder import WORK
from imgclf_dagster.export.images import DatasetImages
from imgclf_dagster.export.run import ExportReport, export_dataset
from labelling.exports.formats import FORMATS
from object_store.errors import StoreMissing
from object_store.store import ObjectStore
from tests.unit.imgclf_dagster.export.export_room import (
    Member,
    files_in,
    make_dataset,
    members,
    open_store,
    picture,
    shards_of,
    two_classes,
)

pytestmark = pytest.mark.unit

EACH_FORMAT = pytest.mark.parametrize("form", list(FORMATS))


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path / "store")


@pytest.fixture
def chosen(store: ObjectStore) -> ChosenDataset:
    return make_dataset(store, two_classes())


@pytest.fixture
def export(store: ObjectStore, chosen: ChosenDataset) -> Callable[..., ExportReport]:
    def run(place: Path, form: str = "folder", **options: Any) -> ExportReport:
        return export_dataset(chosen, FORMATS[form], place, store=store, **options)

    return run


class Killed(BaseException):
    """Nothing but a kill: nobody catches it."""


def killer(after: int) -> Callable[[int, int], None]:
    """Kills the export after so many images."""

    def count_progress(done: int, total: int) -> None:
        if done == after:
            raise Killed

    return count_progress


def images_in(files: dict[str, bytes]) -> list[bytes]:
    return sorted(data for name, data in files.items() if name.endswith(".png"))


@EACH_FORMAT
def test_the_bytes_are_those_that_were_ingested(
    export: Callable[..., ExportReport], tmp_path: Path, form: str
) -> None:
    report = export(tmp_path / "out", form)
    assert images_in(files_in(tmp_path / "out")) == sorted(m.data for m in two_classes())
    assert report.splits == {"train": 8, "val": 2, "test": 2}
    assert report.counts["cat"] == {"train": 4, "val": 1, "test": 1}
    assert report.size == sum(len(m.data) for m in two_classes())
    assert not (tmp_path / "out" / WORK).exists()


@EACH_FORMAT
def test_a_zip_holds_what_a_folder_does_in_a_folder_of_its_name(
    export: Callable[..., ExportReport], tmp_path: Path, form: str
) -> None:
    export(tmp_path / "set", form)
    export(tmp_path / "set.zip", form)
    with zipfile.ZipFile(tmp_path / "set.zip") as made:
        entries = {entry.filename: made.read(entry) for entry in made.infolist()}
        stored = {e.compress_type for e in made.infolist() if e.filename.endswith(".png")}
    folders = {name for name in entries if name.endswith("/")}
    assert {n.removeprefix("set/"): d for n, d in entries.items() if n not in folders} == files_in(
        tmp_path / "set"
    )
    assert stored == {zipfile.ZIP_STORED}, "images are compressed already"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "set.zip", "store"]


def test_a_zip_of_the_same_data_set_has_the_same_bytes(
    export: Callable[..., ExportReport], tmp_path: Path
) -> None:
    for place in ("a", "b"):
        export(tmp_path / place / "set.zip")
    assert (tmp_path / "a/set.zip").read_bytes() == (tmp_path / "b/set.zip").read_bytes()


# --- interrupted ------------------------------------------------------------------------


def test_an_interrupted_export_shows_nothing_and_is_gone_on_with(
    export: Callable[..., ExportReport], tmp_path: Path
) -> None:
    place = tmp_path / "out"
    with pytest.raises(Killed):
        export(place, on_progress=killer(5))
    assert [path.name for path in place.iterdir()] == [WORK], "nothing can be taken for an export"
    messages: list[tuple[int, int]] = []
    report = export(place, on_progress=lambda *at: messages.append(at))
    assert report.kept >= 5
    assert (report.written, report.asked) == (12, 12)
    assert messages[-1] == (12, 12)
    assert images_in(files_in(place)) == sorted(m.data for m in two_classes())
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "test", "train", "val"]


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_what_a_kill_or_a_power_cut_left_of_a_file_is_written_again(
    export: Callable[..., ExportReport], tmp_path: Path, damage: bytes | None
) -> None:
    place = tmp_path / "out"
    with pytest.raises(Killed):
        export(place, on_progress=killer(12))
    victim = next((place / WORK / "files").rglob("*.png"))
    victim.write_bytes(bytes(victim.stat().st_size) if damage is None else damage)
    assert export(place).kept == 11
    assert images_in(files_in(place)) == sorted(m.data for m in two_classes())


def test_a_kill_while_all_is_moved_into_place_is_mended(
    export: Callable[..., ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out"

    def killed(folder: Path) -> None:
        raise Killed

    monkeypatch.setattr(folder_module, "sync_folder", killed)
    with pytest.raises(Killed):
        export(place)
    monkeypatch.undo()
    assert (place / "train").is_dir()
    report = export(place)
    assert (report.written, report.kept) == (12, 12)
    assert images_in(files_in(place)) == sorted(m.data for m in two_classes())
    assert not (place / WORK).exists()


def test_the_remains_of_another_export_are_not_mixed_with_this_one(
    export: Callable[..., ExportReport], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        export(tmp_path / "out", on_progress=killer(5))
    with pytest.raises(ExportError, match=r"remains of another export.*as folder.*delete"):
        export(tmp_path / "out", "coco")


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_two_exports_to_one_place_at_once_do_not_mix(
    export: Callable[..., ExportReport], tmp_path: Path, name: str
) -> None:
    messages: list[str] = []

    def second(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(ExportError) as refused:
                export(tmp_path / name)
            messages.append(str(refused.value))

    assert export(tmp_path / name, on_progress=second).written == 12
    assert "another export is" in messages[0]


def test_a_killed_zip_leaves_nothing_that_looks_like_one(
    export: Callable[..., ExportReport], tmp_path: Path
) -> None:
    (tmp_path / ".set.zip.part").write_bytes(b"of a run that was killed for good")
    with pytest.raises(Killed):
        export(tmp_path / "set.zip", on_progress=killer(5))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert export(tmp_path / "set.zip").written == 12


# --- what is not there ------------------------------------------------------------------


def test_what_a_damaged_shard_lost_comes_out_of_raw_and_is_reported(
    export: Callable[..., ExportReport], store: ObjectStore, tmp_path: Path
) -> None:
    (shard,) = shards_of(store)
    shard.write_bytes(shard.read_bytes()[:2000])
    report = export(tmp_path / "out")
    assert (report.written, report.aside) == (12, [])
    assert report.mended == [f"shards/{shard.name}"]
    assert images_in(files_in(tmp_path / "out")) == sorted(m.data for m in two_classes())


@EACH_FORMAT
@pytest.mark.parametrize("lost", ["missing", "rewritten"])
def test_an_image_that_is_nowhere_is_set_aside_by_name_and_the_rest_goes_on(
    export: Callable[..., ExportReport],
    store: ObjectStore,
    tmp_path: Path,
    form: str,
    lost: str,
) -> None:
    (shard,) = shards_of(store)
    shard.unlink()
    assert store.root is not None
    victim = store.root / "raw/set/cat/0.png"
    if lost == "missing":
        victim.unlink()
    else:
        victim.write_bytes(picture(999))
    report = export(tmp_path / "out", form)
    assert report.written == 11
    ((name, reason),) = report.aside
    assert name == "raw/set/cat/0.png"
    assert "ingest the image again" in reason
    assert report.counts["cat"]["train"] == 3
    files = files_in(tmp_path / "out")
    assert images_in(files) == sorted(m.data for m in two_classes()[1:])
    answer = b"".join(data for name, data in files.items() if not name.endswith(".png"))
    assert two_classes()[0].sha256.encode() not in answer, "no list names what is not there"


def test_if_no_image_can_be_read_there_is_no_export(
    export: Callable[..., ExportReport], store: ObjectStore, tmp_path: Path
) -> None:
    assert store.root is not None
    for path in [*shards_of(store), *(store.root / "raw").rglob("*.png")]:
        path.unlink()
    with pytest.raises(ExportError, match="no image of data set"):
        export(tmp_path / "out")


def test_a_store_that_goes_away_stops_it(
    export: Callable[..., ExportReport],
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert store.root is not None
    root, read = store.root, DatasetImages.read

    def unplugged(images: DatasetImages, row: dict[str, Any]) -> bytes:
        if root.exists():
            root.rename(tmp_path / "elsewhere")
        return read(images, row)

    with monkeypatch.context() as patch:
        patch.setattr(DatasetImages, "read", unplugged)
        with pytest.raises(StoreMissing):
            export(tmp_path / "out")
    (tmp_path / "elsewhere").rename(root)
    assert export(tmp_path / "out").written == 12


# --- names ------------------------------------------------------------------------------


def test_original_names_are_kept_and_made_unique(store: ObjectStore, tmp_path: Path) -> None:
    images = members(
        ("a/night/1.png", "cat", "train"),
        ("b/1.PNG", "cat", "train"),
        ("b/ünï +%20.png", "cat", "train"),
        ("b/con.png", "cat", "train"),
        ("b/1.png", "dog", "train"),
    )
    chosen = make_dataset(store, images)
    export_dataset(chosen, FORMATS["folder"], tmp_path / "out", store=store)
    names = {name for name in files_in(tmp_path / "out") if name.startswith("train/")}
    tag = images[1].sha256[:8]
    assert names == {
        "train/cat/1.png",
        f"train/cat/1-{tag}.PNG",
        "train/cat/ünï +%20.png",
        "train/cat/_con.png",
        "train/dog/1.png",
    }


def test_a_name_without_suffix_gets_the_one_of_its_bytes(
    store: ObjectStore, tmp_path: Path
) -> None:
    """Readers of folders go by suffixes. The image table knows what an image is."""
    import pyarrow as pa

    from assets.ingestion.image_index import IMAGES_SCHEMA, images_table

    images = [
        Member("s/photo", ("cat",), "train", picture(1, "JPEG")),
        Member("s/scan.dat", ("cat",), "train", picture(2)),
        Member("s/clip.gif", ("cat",), "train", picture(3, "GIF")),
    ]
    kinds = ("JPEG", "PNG", "GIF")
    rows = [
        dict.fromkeys(IMAGES_SCHEMA.names) | {"sha256": image.sha256, "format": kind}
        for image, kind in zip(images, kinds, strict=True)
    ]
    images_table(store).append(pa.Table.from_pylist(rows, schema=IMAGES_SCHEMA))
    chosen = make_dataset(store, images)
    report = export_dataset(chosen, FORMATS["folder"], tmp_path / "out", store=store)
    names = {name for name in files_in(tmp_path / "out") if name.startswith("train/")}
    assert names == {"train/cat/photo.jpg", "train/cat/scan.dat.png", "train/cat/clip.gif"}
    assert any("1 × .gif" in note for note in report.notes), "torchvision passes over it"
