"""Where an export may be written, and what is said of a place that cannot be."""

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imgclf_dagster.export import folder as folder_module
from imgclf_dagster.export import target as target_module
from imgclf_dagster.export.choice import ChosenDataset
from imgclf_dagster.export.errors import ExportError
from imgclf_dagster.export.run import ExportReport, export_dataset
from labelling.exports.formats import FORMATS
from object_store.store import ObjectStore
from tests.unit.imgclf_dagster.export.export_room import (
    files_in,
    make_dataset,
    open_store,
    two_classes,
)

pytestmark = pytest.mark.unit


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


def test_a_folder_with_something_in_it_is_refused_and_left_alone(
    export: Callable[..., ExportReport], tmp_path: Path
) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / "mine.txt").write_bytes(b"mine")
    with pytest.raises(ExportError, match=r"not empty \(mine.txt\)"):
        export(place)
    assert files_in(place) == {"mine.txt": b"mine"}


def test_an_empty_folder_is_taken_also_if_a_desktop_or_git_was_there(
    export: Callable[..., ExportReport], tmp_path: Path
) -> None:
    place = tmp_path / "out"
    for name in (".git", "lost+found"):
        (place / name).mkdir(parents=True)
    (place / ".DS_Store").write_bytes(b"x")
    assert export(place).written == 12
    assert (place / ".git").is_dir()


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_a_second_export_to_the_same_place_is_refused(
    export: Callable[..., ExportReport], tmp_path: Path, name: str
) -> None:
    export(tmp_path / name)
    with pytest.raises(ExportError, match=r"not empty|exists"):
        export(tmp_path / name)


def test_a_file_is_no_folder(export: Callable[..., ExportReport], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExportError, match="is a file"):
        export(tmp_path / "file")
    with pytest.raises(ExportError, match=r"cannot be written.*Nothing was written.*file"):
        export(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.7z"])
def test_other_archives_are_refused_by_name(
    export: Callable[..., ExportReport], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ExportError, match=r"only \.zip is written"):
        export(tmp_path / name)


@pytest.mark.parametrize("where", ["store", "store/raw/new", "store/x.zip", "link/raw/new"])
def test_the_store_is_no_place_for_it(
    export: Callable[..., ExportReport], tmp_path: Path, where: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    before = files_in(tmp_path / "store")
    with pytest.raises(ExportError, match="lies in the store"):
        export(tmp_path / where)
    assert files_in(tmp_path / "store") == before


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_a_disk_without_room_is_reported_before_anything_is_written(
    export: Callable[..., ExportReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(target_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ExportError, match=r"are needed and 100 bytes are free.*--to"):
        export(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_a_disk_that_refuses_meanwhile_is_reported_with_its_remedy(
    export: Callable[..., ExportReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: int,
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "open", full, raising=False)
        patch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(ExportError, match=rf"{os.strerror(code)}\)\. .*same command.*: .*--to"):
            export(tmp_path / name)
    assert export(tmp_path / name).written == 12
