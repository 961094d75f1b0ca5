"""Names in archives: in whatever encoding, with or without its mark, twice, nested, locked."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from labelling.sources.containers.archives import open_container
from labelling.sources.containers.containers import (
    Entry,
    FileContainer,
    Passed,
    Rejection,
    SourceError,
)
from labelling.sources.containers.litter import PACKED, SIDECAR
from labelling.sources.containers.name_encodings import guess_encoding
from labelling.sources.containers.packed import TWICE
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


class Unmarked(zipfile.ZipInfo):
    """A member whose name is written as bytes, as programs do that know no Unicode."""

    raw = b""
    flags = 0

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # zipfile's own
        return self.raw, self.flag_bits | self.flags


def zipped(at: Path, *names: bytes, flags: int = 0, extra: Mapping[bytes, bytes] | None = None):
    path = at / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            member = Unmarked(f"m{number}")
            member.raw, member.flags = name, flags
            member.extra = (extra or {}).get(name, b"")
            archive.writestr(member, str(number).encode())
    return path


def tarred(at: Path, *names: bytes, form: int = tarfile.GNU_FORMAT) -> Path:
    path = at / "set.tar"
    with tarfile.open(
        path, "w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            member.size = len(str(number))
            archive.addfile(member, io.BytesIO(str(number).encode()))
    return path


def read(container: FileContainer) -> tuple[dict[str, bytes], dict[str, str], dict[str, str]]:
    """Bytes by name, rejections, and what is ignored."""
    entries: list[Entry] = list(container.listing())
    names = [entry for entry in entries if isinstance(entry, str)]
    contents = list(container.contents(names, 10**6))
    return (
        {item.name: item.data for item in contents if not isinstance(item, Rejection)},
        {entry.name: entry.reason for entry in entries if isinstance(entry, Rejection)},
        {entry.name: entry.reason for entry in entries if isinstance(entry, Passed)},
    )


UNDERSTOOD = [
    ("gbk", "数据/猫/0.jpg 数据/狗/0.jpg"),
    ("gbk", "可回收垃圾/1.jpg 厨余垃圾/1.jpg 有害垃圾/1.jpg 其他垃圾/1.jpg"),
    ("cp932", "ねこ/0.jpg いぬ表/0.jpg"),  # ends in 0x5C, which is no backslash
    ("cp932", "能力/ソース.jpg 表示/2.jpg 良品/3.jpg 不良/4.jpg"),
    ("utf-8", "Käfer/0.jpg Bär/0.jpg"),
    ("utf-8", "Ka\u0308fer/0.jpg Ba\u0308r/0.jpg cafe\u0301/1.jpg"),  # as macOS keeps them
    ("utf-8", "u\u0308ber/0.jpg"),
    ("utf-8", "ba\u0302\u0301t/0.jpg か\u3099/0.jpg"),
    ("utf-8", "猫/0.jpg 狗/0.jpg"),
    ("utf-8", "हाथी/0.jpg 🐱/0.jpg"),
    ("utf-8", "кошка/0.jpg собака/0.jpg"),
    ("big5", "蘋果/1.jpg 香蕉/1.jpg 貓/1.jpg"),
    ("cp949", "고양이/1.jpg 강아지/1.jpg"),
    ("cp866", "кошка/1.jpg собака/1.jpg птица/1.jpg"),
    ("cp1251", "кошка/1.jpg медведь/1.jpg яблоко/1.jpg цветок/1.jpg"),
    ("cp437", "Käfer/0.jpg Bär/0.jpg Straße/0.jpg"),
    ("cp437", "café/0.jpg niño/0.jpg"),
    ("cp437", "Käfer/0.jpg"),
    ("cp437", "Vögel/Mähne.jpg"),
    ("cp850", "Käfer/0.jpg Bär/0.jpg Übung/0.jpg"),
    ("cp850", "coração/0.jpg maçã/0.jpg"),
    ("cp850", "rødgrød/0.jpg ål/0.jpg"),
    ("cp852", "żółw/0.jpg źrebię/0.jpg"),
]


@pytest.mark.parametrize(("codec", "names"), UNDERSTOOD)
def test_unmarked_names_are_read_as_they_were_written(
    tmp_path: Path, codec: str, names: str
) -> None:
    raw = [name.encode(codec) for name in names.split()]
    container = open_container(zipped(tmp_path, b"ascii/1.jpg", *raw))
    taken, refused, passed = read(container)
    assert taken.keys() == {"ascii/1.jpg", *names.split()}
    assert taken[names.split(maxsplit=1)[0]] == b"1"
    assert (refused, passed, container.doubts) == ({}, {}, ())
    assert bool(container.warnings) == (codec != "utf-8")
    assert all("--encoding" in warning for warning in container.warnings)


GARBAGE = "├┤╣╖╦▒ÃÂ¤└┐"


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        *(("gbk", word) for word in ("猫", "鹦鹉", "一", "龟裂", "瑕疵")),
        *(("cp1252", word) for word in ("Käfer", "árbol", "pájaro", "Größe", "café", "bjørn")),
        *(("cp852", word) for word in ("łódka", "gęś", "szőlő")),
        *(("cp1250", word) for word in ("łódka", "kůň")),
        *(("cp737", word) for word in ("ψάρι", "σκύλος")),
        *(("cp1253", word) for word in ("ψάρι", "σκύλος")),
        *(("euc_jp", word) for word in ("猫", "桜", "ねこ")),
        *(("cp949", word) for word in ("개", "새", "튤립")),
        *(("cp874", word) for word in ("แมว", "หมา")),
        *(("cp1256", word) for word in ("قطة", "كلب")),
        *(("koi8_r", word) for word in ("кот", "собака")),
    ],
)
def test_one_short_name_is_right_or_a_question_and_never_garbage(
    tmp_path: Path, codec: str, name: str
) -> None:
    path = zipped(tmp_path, f"{name}/1.jpg".encode(codec))
    container = open_container(path)
    taken, _, _ = read(container)
    if not container.doubts:
        assert taken.keys() == {f"{name}/1.jpg"}
        return
    (doubt,) = container.doubts
    assert "set.zip" in doubt.question
    assert all(option.startswith("--encoding ") for option, _ in doubt.answers)
    assert not any(char in answer for _, answer in doubt.answers for char in GARBAGE)
    decided = open_container(path, encoding=codec)
    assert read(decided)[0] == {f"{name}/1.jpg": b"0"}
    assert decided.doubts == ()


def test_words_that_no_encoding_makes_plausible_are_a_question(tmp_path: Path) -> None:
    container = open_container(zipped(tmp_path, b"\x01\x02\xff\xfe/1.jpg", b"ok/2.jpg"))
    taken, refused, _ = read(container)
    assert (taken.keys(), refused.keys()) == ({"ok/2.jpg"}, {"\x01\x02\\xff\\xfe/1.jpg"})
    (doubt,) = container.doubts
    assert [option for option, _ in doubt.answers] == ["--encoding NAME"]


def test_the_option_decides_but_not_against_names_that_are_utf8(tmp_path: Path) -> None:
    path = zipped(tmp_path, "Käfer/1.jpg".encode(), "Bär/2.jpg".encode())
    container = open_container(path, encoding="cp1252")  # of the list beside them
    assert read(container)[0].keys() == {"Käfer/1.jpg", "Bär/2.jpg"}
    assert "are UTF-8" in container.warnings[0]
    with pytest.raises(SourceError, match="no encoding of this name"):
        open_container(path, encoding="klingon")


def test_names_that_are_not_in_the_encoding_given_are_named(tmp_path: Path) -> None:
    path = zipped(tmp_path, "猫/1.jpg".encode("gbk"), b"\xff/2.jpg", b"ok/3.jpg")
    taken, refused, _ = read(open_container(path, encoding="gbk"))
    assert taken.keys() == {"猫/1.jpg", "ok/3.jpg"}
    assert refused.keys() == {"\\xff/2.jpg"}
    assert "--encoding" in refused["\\xff/2.jpg"]


def unicode_path(raw: bytes, name: str) -> bytes:
    """Info-ZIP's extra field for the name ``raw``."""
    body = b"\1" + struct.pack("<L", zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(body)) + body


def test_the_name_in_info_zips_extra_field_counts_if_it_belongs_to_the_member(
    tmp_path: Path,
) -> None:
    other = struct.pack("<HH", 0x5455, 1) + b"\0"
    extra = {
        b"?/1.jpg": other + unicode_path(b"?/1.jpg", "猫/1.jpg"),
        b"\x84/2.jpg": unicode_path(b"\x84/2.jpg", "ä/2.jpg"),
        b"renamed/3.jpg": unicode_path(b"earlier/3.jpg", "früher/3.jpg"),
    }
    container = open_container(zipped(tmp_path, *extra, extra=extra))
    taken, refused, _ = read(container)
    assert taken.keys() == {"猫/1.jpg", "ä/2.jpg", "renamed/3.jpg"}
    assert (refused, container.doubts, container.warnings) == ({}, (), ())


def test_marked_names_that_are_not_utf8_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = zipped(tmp_path, "いぬ/1.jpg".encode("cp932"), flags=0x800)
    with pytest.raises(SourceError, match=r"set\.zip says that its names are UTF-8"):
        list(open_container(path).listing())


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    ("codec", "names", "certain"),
    [
        ("utf-8", "猫/1.jpg è/2.jpg ok/3.jpg", True),
        ("cp437", "Käfer/1.jpg Bär/2.jpg ok/3.jpg", True),
        ("gbk", "可回收垃圾/1.jpg 厨余垃圾/1.jpg ok/3.jpg", True),
        ("latin-1", "Käfer/1.jpg ok/3.jpg", False),
    ],
)
def test_names_of_a_tar_are_read_as_they_were_written(
    tmp_path: Path, form: int, codec: str, names: str, certain: bool
) -> None:
    path = tarred(tmp_path, *(name.encode(codec) for name in names.split()), form=form)
    container = open_container(path)
    taken, refused, _ = read(container)
    assert (container.doubts == ()) == certain
    assert refused == {}
    taken, refused, _ = read(open_container(path, encoding=codec))
    assert (sorted(taken), refused) == (sorted(names.split()), {})


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path, pack) -> None:
    path = pack(tmp_path, b"a/1.jpg", b"a/2.jpg", b"./a/1.jpg", b"A/1.jpg")
    taken, refused, passed = read(open_container(path))
    assert taken == {"a/2.jpg": b"1", "a/1.jpg": b"2", "A/1.jpg": b"3"}
    assert (refused, passed) == ({}, {"a/1.jpg": TWICE})


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archives_in_archives_and_sidecars_are_named(tmp_path: Path, pack) -> None:
    path = pack(
        tmp_path, b"cat/1.jpg.json", b"cat/1.jpg", b"cat/2.jpg.json", b"more.zip", b"x/b.tar.gz"
    )
    taken, refused, passed = read(open_container(path))
    assert taken.keys() == {"cat/1.jpg", "cat/2.jpg.json"}
    assert refused == {"more.zip": PACKED, "x/b.tar.gz": PACKED}
    assert passed == {"cat/1.jpg.json": SIDECAR}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_litter_in_an_archive_is_named_once(tmp_path: Path, pack) -> None:
    path = pack(
        tmp_path, b"__MACOSX/a/._1.jpg", b"a/1.jpg", b"__MACOSX/a/._2.jpg", b"a/@eaDir/1/x.jpg",
        b"a/.DS_Store", b"b.part/2.jpg", b"b.part/3.jpg.part",
    )  # fmt: skip
    taken, refused, passed = read(open_container(path))
    assert (taken.keys(), refused) == ({"a/1.jpg", "b.part/2.jpg"}, {})
    assert passed.keys() == {"__MACOSX/", "a/@eaDir/", "a/.DS_Store", "b.part/3.jpg.part"}


def test_locked_members_and_odd_methods_are_named(tmp_path: Path) -> None:
    path = zipped(tmp_path, b"ok/1.jpg", b"locked/2.jpg", b"odd/3.jpg")
    raw = bytearray(path.read_bytes())
    locked = raw.rindex(b"locked/2.jpg") - 46
    raw[locked + 8] |= 1
    odd = raw.rindex(b"odd/3.jpg") - 46
    raw[odd + 10] = 9
    path.write_bytes(raw)
    taken, refused, _ = read(open_container(path))
    assert taken.keys() == {"ok/1.jpg"}
    assert "password" in refused["locked/2.jpg"]
    assert "7z x" in refused["odd/3.jpg"]


@pytest.mark.parametrize(
    ("name", "begin", "expected"),
    [
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        ("a.rar", b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        ("misnamed.zip", b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd", "tar --zstd -xf"),
        ("a.z01", b"PK", "one part of an archive"),
        ("a.zip.001", b"PK", "one part of an archive"),
        ("a.part1.rar", b"Rar!", "one part of an archive"),
        ("empty.7z", b"", "a kind that is not read"),
    ],
)
def test_archives_that_are_not_read_are_refused_by_name_with_the_remedy(
    tmp_path: Path, name: str, begin: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(begin + bytes(100))
    with pytest.raises(SourceError, match=name) as refused:
        open_container(tmp_path / name)
    assert expected in str(refused.value)
    assert "ingest the folder" in str(refused.value)


def test_the_last_part_of_a_split_zip_is_no_broken_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path, b"a/1.jpg")
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\5\6") + 4] = 2
    path.write_bytes(raw)
    with pytest.raises(SourceError, match="last part of an archive in several files"):
        list(open_container(path).listing())


def test_odd_sources_are_named_and_hold_nobody_up(tmp_path: Path) -> None:
    for name in ("pipe.jpg", "pipe", "pipe.zip", "pipe.tar"):
        os.mkfifo(tmp_path / name)
        (entry,) = open_container(tmp_path / name).listing()
        assert isinstance(entry, Rejection)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match="cannot be read"):
        open_container(tmp_path / "loop")
    try:
        (tmp_path / os.fsdecode(b"n\xe4")).mkdir()
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8; run it on ext4 or tmpfs")
    with pytest.raises(SourceError, match=r"n\\xe4 is not UTF-8"):
        open_container(tmp_path / os.fsdecode(b"n\xe4"))


def test_a_file_that_vanishes_after_the_listing_is_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    container = open_container(tmp_path)
    names = [str(entry) for entry in container.listing()]
    (tmp_path / "a.jpg").unlink()
    gone, there = container.contents(names, 10)
    assert isinstance(gone, Rejection)
    assert "meanwhile" in gone.reason
    assert there.name == "b.jpg"


def test_a_zip_without_a_suffix_is_a_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path, b"a/1.jpg").rename(tmp_path / "download")
    assert list(open_container(path).listing()) == ["a/1.jpg"]


def test_the_classes_are_those_of_the_names_and_a_doubt_is_the_readings(tmp_path: Path) -> None:
    path = zipped(tmp_path, *(f"set/{name}".encode("gbk") for name in ("猫/0.jpg", "狗/0.jpg")))
    reading = read_source(path)
    assert {reading.labels[name] for name in reading.names.values()} == {("猫",), ("狗",)}
    assert reading.doubts == ()
    assert any("猫" in warning for warning in reading.warnings)
    doubtful = zipped(tmp_path, *(f"{name}/0.jpg".encode("cp1252") for name in ("Käfer", "Bär")))
    assert "--encoding cp1252" in dict(read_source(doubtful).doubts[0].answers)
    decided = read_source(doubtful, ReadingOptions(encoding="cp1252"))
    assert {decided.labels[name] for name in decided.names.values()} == {("Käfer",), ("Bär",)}
    assert decided.doubts == ()


def test_one_absurd_word_among_many_makes_a_reading_implausible() -> None:
    """Two programs have written into one archive."""
    words = [f"K\x84fer{number}/1.jpg".encode("latin-1") for number in range(50)]
    assert guess_encoding(words).certain
    mixed = guess_encoding([*words, "猫狗/1.jpg".encode("gbk")])
    assert not mixed.certain
