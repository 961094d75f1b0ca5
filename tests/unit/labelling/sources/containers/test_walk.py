"""The one walk over folders: what is data, what is ignored, and what cannot be read."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labelling.sources.containers import walk as module
from labelling.sources.containers.containers import Entry, Passed, Rejection, SourceError
from labelling.sources.containers.litter import (
    EMPTY,
    HIDDEN,
    LIBRARY,
    SHORTCUT,
    SIDECAR,
    SYSTEM,
    UNFINISHED,
)
from labelling.sources.containers.walk import (
    CACHE,
    HOME,
    ITSELF,
    PYTHON,
    SEEN,
    STORE,
    walk,
)
from object_store.rows import MARKER

pytestmark = pytest.mark.unit


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def seen(root: Path) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Files in their order, rejections and what is ignored by name."""
    entries: list[Entry] = list(walk(root))
    files = [entry for entry in entries if isinstance(entry, str)]
    refused = {entry.name: entry.reason for entry in entries if isinstance(entry, Rejection)}
    passed = {entry.name: entry.reason for entry in entries if isinstance(entry, Passed)}
    assert len(files) + len(refused) + len(passed) == len(entries)
    return files, refused, passed


LITTER = {
    SYSTEM: (
        *("@eaDir/1.jpg@SYNOPHOTO_THUMB_M.jpg", "cat/@eaDir/1.jpg", "$RECYCLE.BIN/1.jpg"),
        *("$Recycle.Bin/1.jpg", "#recycle/1.jpg", "System Volume Information/x", "lost+found/x"),
        *(".thumbnails/1.jpg", ".Trash-1000/files/1.jpg", ".Trashes/1.jpg", "__MACOSX/cat/._1.jpg"),
        *(".ipynb_checkpoints/1-checkpoint.jpg", "__pycache__/x.pyc", ".picasaoriginals/1.jpg"),
        *(".dtrash/1.jpg", "@Recycle/1.jpg", ".@__thumb/1.jpg", "FOUND.000/FILE0000.CHK"),
        *("cat/.DS_Store", "cat/._1.jpg", "cat/Thumbs.db", "cat/desktop.ini", ".git/config"),
        *("1.jpg:Zone.Identifier", "~$list.xlsx", "Icon\r", "cat_$folder$", "cat/dog_$folder$"),
    ),
    HIDDEN: (".private/1.jpg", "cat/.hidden.jpg"),
    LIBRARY: ("My Previews.lrdata/1.jpg", "Photos Library.photoslibrary/originals/1.jpg"),
    SIDECAR: ("cat/1.xmp", "cat/1.jpg.xmp", "cat/1.AAE", "cat/1.jpg.json", "cat/1.jpg.supple.json"),
    SHORTCUT: ("cat/2.jpg.lnk", "photos.url"),
    UNFINISHED: (
        *("cat/3.jpg.crdownload", "cat/3.jpg.part", "cat/.4.jpg.aB3xYz", "cat/001.jpg.6eF5dA2B"),
        *("labels.csv.0123abCD", "cat/5.jpg._COPYING_", "cat/6.png.gstmp"),
    ),
}


@pytest.mark.parametrize(
    ("name", "reason"), [(name, reason) for reason, names in LITTER.items() for name in names]
)
def test_litter_is_passed_over_and_named_once(tmp_path: Path, name: str, reason: str) -> None:
    files = ["cat/1.jpg", "top.jpg"]
    put(tmp_path, *files, name)
    found, refused, passed = seen(tmp_path)
    assert (sorted(found), refused, list(passed.values())) == (files, {}, [reason])
    assert name.startswith(next(iter(passed)))


@pytest.mark.parametrize(
    "name",
    [
        *("recycle/1.jpg", "Trash/1.jpg", "thumbnails/1.jpg", "cache/1.jpg", "desktop/1.jpg"),
        *("lost/1.jpg", "cat/labels.json", "annotations.json", "cat/9.jpg.json", "part.jpg"),
        *("a.b/1.jpg", "thumbs.jpg", "notes.txt", "data.csv", "url/1.jpg", "@home/1.jpg"),
        *("engine.part/1.jpg", "no.tmp/1.jpg", "page.url/1.jpg"),
    ],
)
def test_what_only_looks_like_litter_is_listed(tmp_path: Path, name: str) -> None:
    put(tmp_path, "cat/1.jpg", name)
    assert seen(tmp_path) == (sorted(["cat/1.jpg", name], key=_in_order), {}, {})


def _in_order(name: str) -> tuple[bool, str]:
    return "/" in name, name


def test_the_name_of_the_folder_itself_is_no_matter(tmp_path: Path) -> None:
    root = put(tmp_path / ".hidden/@eaDir", "1.jpg", "..dots/1.jpg")
    assert seen(root) == (["1.jpg"], {}, {"..dots/": HIDDEN})


def test_links_to_folders_are_followed_once_and_a_class_keeps_its_own_name(tmp_path: Path) -> None:
    root = put(tmp_path / "set", "zebra/1.jpg")
    put(tmp_path / "far", "away/1.jpg")
    (root / "a_link").symlink_to("zebra")
    (root / "zebra/up").symlink_to("..")
    (root / "far").symlink_to(tmp_path / "far")
    (root / "far2").symlink_to(tmp_path / "far")
    (root / "zebra/2.jpg").symlink_to("1.jpg")
    files, refused, passed = seen(root)
    assert (files, refused) == (["zebra/1.jpg", "zebra/2.jpg", "far/away/1.jpg"], {})
    assert passed == {"a_link/": SEEN, "zebra/up/": SEEN, "far2/": SEEN}


def test_links_to_themselves_and_to_nothing_are_named(tmp_path: Path) -> None:
    root = put(tmp_path, "1.jpg")
    (root / "self").symlink_to("self")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "gone.jpg").symlink_to("nowhere")
    files, refused, passed = seen(root)
    assert (files, passed) == (["1.jpg"], dict.fromkeys(("one", "self", "two"), ITSELF))
    assert "a broken link" in refused["gone.jpg"]
    assert len(refused) == 1


def test_the_store_is_never_a_source(tmp_path: Path) -> None:
    root = put(tmp_path / "set", "1.jpg", "home/store/raw/set/1.jpg", f"home/store/{MARKER}")
    (root / "raw").symlink_to("home/store/raw")
    (root / "2.jpg").symlink_to("home/store/raw/set/1.jpg")
    (root / "3.jpg").symlink_to("2.jpg")
    files, refused, passed = seen(root)
    assert (files, refused) == (["1.jpg"], {})
    assert passed.keys() == {"raw/", "2.jpg", "3.jpg", "home/store/"}
    assert all(STORE in reason for reason in passed.values())
    # Who names a folder of it means it: `imgclf predict` does.
    assert seen(root / "home/store/raw")[0] == ["set/1.jpg"]
    with pytest.raises(SourceError, match="is the store of imgclf"):
        list(walk(root / "home/store"))


def test_folders_that_say_what_they_are_hold_no_data_unless_they_are_named(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        *("home/imgclf.toml", "home/store/x", "home/dagster/x", "home/mlflow/plot.png"),
        *("cache/CACHEDIR.TAG", "cache/1.jpg", "env/pyvenv.cfg", "env/logo.png"),
        *("data/imgclf.toml", "data/store/1.jpg"),  # a class of this name
    )
    files, refused, passed = seen(root)
    assert (files, refused) == (["data/imgclf.toml", "data/store/1.jpg"], {})
    assert passed == {"cache/": CACHE, "env/": PYTHON, "home/": HOME}
    assert "1.jpg" in seen(root / "cache")[0]
    with pytest.raises(SourceError, match="is the home of imgclf"):
        list(walk(root / "home"))


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Makes the reading of a folder fail, also for root."""
    real, broken = os.scandir, dict[str, int]()

    def scandir(path: str) -> object:
        if (number := broken.get(os.path.basename(path))) is not None:  # noqa: PTH119 - bytes
            raise OSError(number, os.strerror(number), path)
        return real(path)

    monkeypatch.setattr(module.os, "scandir", scandir)
    return broken.__setitem__


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EACCES, "chmod"), (errno.EIO, "disk"), (errno.ENOENT, "meanwhile"), (errno.EBUSY, "")],
)
def test_a_folder_that_cannot_be_read_is_named_and_the_rest_goes_on(
    tmp_path: Path, refuse: Callable[[str, int], None], number: int, remedy: str
) -> None:
    root = put(tmp_path / "set", "cat/1.jpg", "dog/1.jpg", "top.jpg")
    refuse("cat", number)
    files, refused, passed = seen(root)
    assert (files, passed) == (["top.jpg", "dog/1.jpg"], {})
    assert refused.keys() == {"cat/"}
    assert os.strerror(number) in refused["cat/"]
    assert remedy in refused["cat/"]
    refuse("set", number)
    with pytest.raises(SourceError, match="cannot be read"):
        list(walk(root))


def test_what_was_read_of_a_folder_before_it_broke_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    real = os.scandir

    class Breaking:
        def __init__(self, path: str) -> None:
            self._entries = real(path)

        def __enter__(self) -> Iterator["os.DirEntry[str]"]:
            return self._some()

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            self._entries.close()

        def _some(self) -> Iterator["os.DirEntry[str]"]:
            yield next(self._entries)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module.os, "scandir", Breaking)
    files, refused, _ = seen(root)
    assert len(files) == 1
    assert "read in part only" in refused["./"]


def test_network_drives_that_number_no_file_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (root / "loop").symlink_to(".")
    real = os.stat

    def unnumbered(path: str) -> os.stat_result:
        values = list(real(path))
        values[1] = 0
        return os.stat_result(values)

    monkeypatch.setattr(module.os, "stat", unnumbered)
    assert seen(root) == (["cat/1.jpg", "dog/1.jpg"], {}, {"loop/": SEEN})


def test_names_that_are_not_utf8_are_named_with_the_remedy(tmp_path: Path) -> None:
    put(tmp_path, "ok.jpg")
    base = os.fsencode(tmp_path)
    try:
        os.mkdir(base + b"/K\xe4fer")  # noqa: PTH102 - bytes
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8; run it on ext4 or tmpfs")
    for name in (b"/K\xe4fer/1.jpg", b"/\xe9.jpg"):
        Path(os.fsdecode(base + name)).write_bytes(b"x")
    files, refused, passed = seen(tmp_path)
    assert (files, passed) == (["ok.jpg"], {})
    assert refused.keys() == {"K\\xe4fer/", "\\xe9.jpg"}
    assert all("convmv" in reason for reason in refused.values())


def test_pipes_are_named_and_a_tree_of_any_depth_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    deep = "/".join(["d"] * 500)
    put(tmp_path, f"{deep}/1.jpg")
    files, refused, _ = seen(tmp_path)
    assert files == [f"{deep}/1.jpg"]
    assert "not a regular file" in refused["pipe.jpg"]


def test_folders_without_data_are_named(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.jpg", "dog/.DS_Store", "elk/notes.txt", "of/all/1.jpg")
    for empty in ("bird", "deep/er"):
        (tmp_path / empty).mkdir(parents=True)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/here").symlink_to(tmp_path / "cat")
    _, _, passed = seen(tmp_path)
    assert {name for name, reason in passed.items() if reason == EMPTY} == {
        *("bird/", "deep/er/", "dog/")
    }


def test_an_empty_source_is_not_named_as_one_of_its_folders(tmp_path: Path) -> None:
    assert seen(tmp_path) == ([], {}, {})


@pytest.mark.parametrize(
    "name", ["cat/photo.20240101", "cat/1.jpg.v2", "cat/a.b.deadbeef1", "$folder$"]
)
def test_names_that_only_look_unfinished_are_files(tmp_path: Path, name: str) -> None:
    assert seen(put(tmp_path, name))[0] == [name]
