"""Everything a user may ingest is read file by file; what cannot be is named."""

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from labelling.labels.schema import Task
from labelling.sources.containers.containers import Rejection, SourceError
from labelling.sources.containers.litter import EMPTY
from labelling.sources.items import SourceItem, item_count, source_items
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit

Files = Mapping[str, bytes]
CLASSES = {"cat/1.png": b"c1", "cat/2.png": b"c2", "dog/1.png": b"d1"}
CLASS_ITEMS = {
    "cat/1.png": (b"c1", ("cat",)),
    "cat/2.png": (b"c2", ("cat",)),
    "dog/1.png": (b"d1", ("dog",)),
}


def folder(at: Path, files: Files) -> Path:
    for name, data in files.items():
        (at / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (at / "set" / name).write_bytes(data)
    return at / "set"


def packed_tar(at: Path, files: Files, suffix: str = ".tar", mode: str = "w") -> Path:
    path = at / f"set{suffix}"
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def packed_zip(at: Path, files: Files) -> Path:
    with zipfile.ZipFile(at / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return at / "set.zip"


PACKERS = {
    "folder": folder,
    "zip": packed_zip,
    "tar": packed_tar,
    "tar.gz": lambda at, files: packed_tar(at, files, ".tar.gz", "w:gz"),
    "tgz": lambda at, files: packed_tar(at, files, ".tgz", "w:gz"),
    "tar.bz2": lambda at, files: packed_tar(at, files, ".tar.bz2", "w:bz2"),
    "tar.xz": lambda at, files: packed_tar(at, files, ".tar.xz", "w:xz"),
}


@pytest.fixture(params=PACKERS)
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    return lambda files: PACKERS[request.param](tmp_path, files)


def read(path: Path, max_file_bytes: int = 10**6, task: Task = "single_label"):
    source = read_source(path, ReadingOptions(task=task))
    items = list(source_items(source, max_file_bytes=max_file_bytes))
    assert source.stem == "set"
    assert item_count(source) == len(items)
    taken = {item.name: (item.data, item.labels) for item in items if isinstance(item, SourceItem)}
    refused = {item.name: item.reason for item in items if isinstance(item, Rejection)}
    assert len(taken) + len(refused) == len(items)
    return taken, refused


def test_folders_are_labels(pack):
    assert read(pack(CLASSES)) == (CLASS_ITEMS, {})


@pytest.mark.parametrize("prefix", ["./", "set/", "anything/at/all/", "./set/train/"])
def test_a_folder_around_everything_is_seen_through(pack, prefix):
    assert read(pack({prefix + name: data for name, data in CLASSES.items()})) == (CLASS_ITEMS, {})


def test_train_and_test_are_no_labels(pack):
    taken, _ = read(pack({"train/cat/1.png": b"", "test/cat/1.png": b"", "test/dog/1.png": b""}))
    assert {name: labels for name, (_, labels) in taken.items()} == {
        "train/cat/1.png": ("cat",),
        "test/cat/1.png": ("cat",),
        "test/dog/1.png": ("dog",),
    }


def test_a_flat_folder_has_no_labels(pack):
    assert read(pack({"1.png": b"1", "2.png": b"2"})) == (
        {"1.png": (b"1", None), "2.png": (b"2", None)},
        {},
    )


def test_a_lone_folder_of_images_is_a_class_but_in_an_archive_of_its_name(tmp_path):
    taken, _ = read(packed_tar(tmp_path, {"cat/1.png": b"1"}))
    assert taken == {"cat/1.png": (b"1", ("cat",))}
    taken, _ = read(packed_zip(tmp_path, {"set/1.png": b"1"}))
    assert taken == {"1.png": (b"1", None)}
    taken, _ = read(folder(tmp_path, {"set/1.png": b"1"}))
    assert taken == {"set/1.png": (b"1", ("set",))}


def test_litter_is_not_there(pack):
    litter = ("__MACOSX/cat/._1.png", "cat/.DS_Store", "Thumbs.db", ".git/config", "cat/._1.png")
    assert read(pack({**CLASSES, **dict.fromkeys(litter, b"x")})) == (CLASS_ITEMS, {})


def test_a_csv_gives_the_labels_wherever_it_lies_in_the_archive(pack):
    rows = "\ufefffile, labels ,note\n./cat/1.png, black | cat,x\ndog/1.png,dog,\n\n"
    for order in (1, -1):
        files = [*CLASSES.items(), ("labels.csv", rows.encode())][::order]
        taken, refused = read(pack(dict(files)), task="multi_label")
        assert {name: labels for name, (_, labels) in taken.items()} == {
            "cat/1.png": ("black", "cat"),
            "cat/2.png": None,
            "dog/1.png": ("dog",),
        }
        assert refused == {}


BROKEN_CSV = b"""labels,file
cat,cat/1.png
cat,cat/nowhere.png
cat
cat||dog,cat/2.png
cat,../../etc/passwd
cat,
""" + b"".join(b"cow,cow/%d.png\n" % i for i in range(9))
BROKEN_LINES = {
    3: "no such file",
    4: "1 columns",
    5: "empty label",
    6: "no such file",
    7: "empty",
}
COWS = {f"cow/{i}.png": b"w" for i in range(9)}


def assert_broken_lines(refused: dict[str, str]) -> None:
    lines = {int(name.split(":")[1].split()[0]): reason for name, reason in refused.items()}
    assert lines.keys() == BROKEN_LINES.keys()
    for line, part in BROKEN_LINES.items():
        assert part in lines[line]


def test_broken_lines_of_a_csv_are_named_and_the_rest_goes_on(pack):
    taken, refused = read(pack({**CLASSES, **COWS, "labels.csv": BROKEN_CSV}))
    assert taken["cat/1.png"] == (b"c1", ("cat",))
    assert taken["cat/2.png"] == (b"c2", None)
    assert_broken_lines(refused)


def test_a_csv_that_is_named_takes_only_what_it_lists(tmp_path):
    root = folder(tmp_path, {**CLASSES, **COWS, "labels.csv": BROKEN_CSV})
    taken, refused = read(root / "labels.csv")
    assert taken == {
        "cat/1.png": (b"c1", ("cat",)),
        **dict.fromkeys(COWS, (b"w", ("cow",))),
    }
    assert_broken_lines(refused)


@pytest.mark.parametrize("data", [b"", b"a;b\n", b"file\n", "file,labels\né".encode("utf-16")])
def test_a_list_that_is_named_and_is_none_is_an_error(tmp_path, data):
    root = folder(tmp_path, {**CLASSES, "labels.csv": data})
    with pytest.raises(SourceError, match="labels.csv"):
        read_source(root / "labels.csv")


def test_names_that_lead_out_of_an_archive_are_rejected(tmp_path):
    evil = ("../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png")
    files = {**CLASSES, **dict.fromkeys(evil, b"x")}
    for path in (packed_tar(tmp_path, files), packed_zip(tmp_path, files)):
        taken, refused = read(path)
        assert taken == CLASS_ITEMS
        assert refused.keys() == set(evil)


def test_windows_separators_in_a_zip_are_folders(tmp_path):
    path = packed_zip(tmp_path, {"cat/1.png": b"c1", "dog/1.png": b"d1"})
    path.write_bytes(
        path.read_bytes().replace(b"cat/1", b"cat\\1").replace(b"dog/1.png", b"..\\1x.png")
    )
    taken, refused = read(path)
    assert taken == {"cat/1.png": (b"c1", ("cat",))}
    assert refused.keys() == {"../1x.png"}


def test_folders_without_data_in_an_archive_are_named(tmp_path):
    tar = packed_tar(tmp_path, {"cat/1.png": b"x"})
    with tarfile.open(tar, "a") as archive:
        for name in ("bird", "cat", "up/k\u00e4fer", "@eaDir", ".hidden"):
            header = tarfile.TarInfo(name)
            header.type = tarfile.DIRTYPE
            archive.addfile(header)
    packed = packed_zip(tmp_path, {"cat/1.png": b"x"})
    with zipfile.ZipFile(packed, "a") as archive:
        for name in ("bird/", "cat/", "up/", "up/k\u00e4fer/", "@eaDir/", "../out/"):
            archive.writestr(name, b"")
    for path in (tar, packed):
        (group,) = [one for one in read_source(path).ignored if one.reason == EMPTY]
        assert group.examples == ("bird/", "up/k\u00e4fer/")


def test_links_and_devices_in_an_archive_are_rejected(tmp_path):
    path = packed_tar(tmp_path, CLASSES)
    with tarfile.open(path, "a") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE),
                           ("d.png", tarfile.CHRTYPE), ("f.png", tarfile.FIFOTYPE)):  # fmt: skip
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "/etc/passwd"
            tar.addfile(header)
    assert read(path)[1].keys() == {"l.png", "h.png", "d.png", "f.png"}
    zipped = packed_zip(tmp_path, CLASSES)
    with zipfile.ZipFile(zipped, "a") as archive:
        link = zipfile.ZipInfo("l.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    taken, refused = read(zipped)
    assert taken == CLASS_ITEMS
    assert refused.keys() == {"l.png"}


def test_pipes_dangling_links_and_loops_in_a_folder_do_not_stop_it(tmp_path):
    root = folder(tmp_path, CLASSES)
    os.mkfifo(root / "cat/pipe.png")
    (root / "cat/dangling.png").symlink_to(root / "nowhere")
    (root / "loop").symlink_to(root)
    (root / "dog/2.png").symlink_to(root / "dog/1.png")
    taken, refused = read(root)
    assert taken == {**CLASS_ITEMS, "dog/2.png": (b"d1", ("dog",))}
    assert refused.keys() == {"cat/pipe.png", "cat/dangling.png"}


def test_files_that_are_too_big_are_rejected_unread(pack):
    taken, refused = read(
        pack({**CLASSES, "cat/big.png": b"\x89PNG" + bytes(200_001)}), max_file_bytes=200_000
    )
    assert taken == CLASS_ITEMS
    assert "max_file_mb" in refused["cat/big.png"]


def test_a_zip_whose_sizes_lie_gives_no_more_than_it_says(tmp_path):
    path = packed_zip(tmp_path, {**CLASSES, "cat/lie.png": bytes(5_000_000)})
    raw = path.read_bytes()
    path.write_bytes(raw.replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    taken, refused = read(path)
    assert taken == CLASS_ITEMS
    assert refused.keys() == {"cat/lie.png"}


def test_a_tar_bomb_is_refused_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("labelling.sources.containers.tars.FREE_EXPANSION_BYTES", 1_000_000)
    bomb = packed_tar(tmp_path, {"a/1.png": bytes(30_000_000), "b/1.png": b"x"}, ".tar.gz", "w:gz")
    tracemalloc.start()
    with pytest.raises(SourceError, match="unpacks to more than"):
        read_source(bomb)
    header = tarfile.TarInfo("PaxHeader/x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    with gzip.open(bomb, "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(1_000_000))
    with pytest.raises(SourceError, match="header of"):
        read_source(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("keep", [0.4, 0.7])
def test_what_can_be_read_of_a_cut_off_tar_is_read(tmp_path, kind, keep):
    files = {f"{name}/{i}.png": os.urandom(3000) for i in range(20) for name in ("cat", "dog")}
    path = PACKERS[kind](tmp_path, files)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    reading = read_source(path)
    (doubt,) = reading.doubts  # a class, or the list of labels, may be lost
    assert "copy it again" in doubt.question
    assert [option for option, _ in doubt.answers] == ["--yes"]
    items = list(source_items(reading, max_file_bytes=10**6))
    taken = {item.name: item.data for item in items if isinstance(item, SourceItem)}
    assert 20 * keep <= len(taken) < 40
    assert all(files[name] == data for name, data in taken.items())
    assert any(isinstance(item, Rejection) and item.name == path.name for item in items)


def test_a_tar_cut_off_between_two_files_is_noticed(tmp_path):
    path = packed_tar(tmp_path, CLASSES)
    path.write_bytes(path.read_bytes()[: 2 * 1024])
    taken, refused = read(path)
    assert taken.keys() == {"cat/1.png", "cat/2.png"}
    assert "cut off" in refused["set.tar"]


def test_a_damaged_member_of_a_zip_is_named_and_the_rest_goes_on(tmp_path):
    path = packed_zip(tmp_path, {**CLASSES, "cat/3.png": b"0123456789" * 50})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"cat/3.png") + 12] ^= 0xFF
    path.write_bytes(raw)
    taken, refused = read(path)
    assert taken == CLASS_ITEMS
    assert "broken in the archive" in refused["cat/3.png"]


def test_what_is_no_source_at_all_is_reported(tmp_path):
    for name in ("set.zip", "set.tar", "set.tar.gz"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 100)
        with pytest.raises(SourceError, match=name):
            read_source(tmp_path / name)
    with pytest.raises(SourceError, match="does not exist"):
        read_source(tmp_path / "nowhere")


def test_composed_and_decomposed_names_are_the_same(tmp_path):
    rows = "file,labels\ncafé.png,x\n"
    path = packed_zip(tmp_path, {"cafe\u0301.png": b"1", "labels.csv": rows.encode()})
    assert read(path) == ({"café.png": (b"1", ("x",))}, {})


def test_labels_of_a_csv_are_one_whatever_their_encoding(tmp_path):
    (tmp_path / "labels.csv").write_text("file,labels\na.png,cafe\u0301\nb.png,caf\xe9\n", "utf-8")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x")
    texts = {item.labels for item in source_items(read_source(tmp_path), max_file_bytes=10)}
    assert texts == {("caf\xe9",)}
