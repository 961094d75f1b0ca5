"""Which files ``imgclf predict`` asks about: the rules of ingest, wherever the folder lies."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from imgclf_dagster.cli.common import given_path
from imgclf_dagster.cli.foreign_paths import foreign_path
from imgclf_dagster.cli.ingest.summary import show_report
from imgclf_dagster.cli.main import app
from imgclf_dagster.cli.predict import (
    Answer,
    _found,
    _refusal_lines,
    _table,
    _write_csv,
    ask_endpoint,
)
from imgclf_dagster.ingest.ingest import IngestReport

pytestmark = pytest.mark.unit


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos below a hidden folder and beside the working folder, with what desktops leave."""
    for folder in ("photos", ".hidden/store/raw", "photos/.cache"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.jpg").write_bytes(b"a photo")
    for litter in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "photos" / litter).write_bytes(b"x")
    (tmp_path / "photos/__MACOSX").mkdir()
    (tmp_path / "photos/__MACOSX/0.jpg").write_bytes(b"x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to("../photos")
    monkeypatch.chdir(elsewhere)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("../photos", "../photos/0.jpg"),
        ("../.hidden/store/raw", "../.hidden/store/raw/0.jpg"),
        ("link", "link/0.jpg"),
        (".", "link/0.jpg"),
        ("../photos/.cache", "../photos/.cache/0.jpg"),
        ("../photos/Thumbs.db", "../photos/Thumbs.db"),
    ],
)
def test_what_lies_below_a_folder_is_found_wherever_it_lies(
    places: Path, given: str, found: str
) -> None:
    assert _found([Path(given)])[:2] == ([Path(found)], [])


def test_links_in_a_circle_end_and_those_to_nothing_are_named(places: Path) -> None:
    (places / "photos" / "again").symlink_to("..")
    (places / "photos" / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(places / "photos" / "pipe.jpg")
    files, refused, _ = _found([Path("../photos")])
    assert Path("../photos/0.jpg") in files
    assert [
        (answer.file, bool(answer.error)) for answer in refused if "again" not in answer.file
    ] == [
        ("../photos/gone.jpg", True),
        ("../photos/pipe.jpg", True),
    ]


def test_what_is_passed_over_is_reported_and_a_folder_that_cannot_be_read_stops_no_other(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each reason, with its count and three examples."""
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (places / "locked").mkdir()
    (places / "photos/locked").mkdir()
    (places / "photos/.mine.jpg").write_bytes(b"x")
    monkeypatch.setattr("labelling.sources.containers.walk.os.scandir", scandir)
    files, refused, passed = _found([Path("../locked"), Path("../photos")])
    assert files == [Path("../photos/0.jpg")]
    assert [answer.file for answer in refused] == ["../locked", "../photos/locked"]
    assert all("chmod" in answer.error for answer in refused)
    (system, hidden) = sorted(_refusal_lines(passed), key=len, reverse=True)
    assert system.startswith("passed over 5 (a leftover of")
    assert system.endswith("and 2 more")
    assert hidden.startswith("passed over 1 (hidden")


def test_the_table_says_which_of_the_likely_labels_are_predicted() -> None:
    """Of several labels each has its threshold, and an image may have none."""
    ranked = (("dress", 0.4), ("red", 0.3))
    sure, several, none = (("dress",), ("red", "dress"), ())
    one = [Answer("a.jpg", "v", "d", sure, ranked)]
    more = [
        *one,
        Answer("b.jpg", "v", "d", several, ranked),
        Answer("c.jpg", "v", "d", none, ranked),
    ]
    shown = []
    for answers in (one, more):
        output = Console(file=io.StringIO(), width=100)
        output.print(_table(answers))
        shown.append(output.file.getvalue())  # type: ignore[attr-defined] # a StringIO
    assert "predicted" not in shown[0]
    assert [" ".join(line.split()) for line in shown[1].splitlines()] == [
        "file predicted labels",
        "a.jpg dress dress 40.0% red 30.0%",
        "b.jpg red, dress dress 40.0% red 30.0%",
        "c.jpg none of the labels dress 40.0% red 30.0%",
    ]


def test_no_cell_is_a_formula_to_a_spreadsheet(capsys: pytest.CaptureFixture[str]) -> None:
    formula = '=HYPERLINK("http://evil","1")'
    names = [f"{begin}1.jpg" for begin in ("=", "+", "-", "@", "＝")]
    answers = [Answer(name, error="broken") for name in (*names, "\r=1.jpg", "a\n=1.jpg")]
    answers.append(Answer("ok.jpg", "v1", "d", (formula, "b"), ((formula, 0.5),)))
    _write_csv(answers)
    text = capsys.readouterr().out
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[0] for row in rows[1:]] == [
        *(f"'{name}" for name in names),
        *("\\r=1.jpg", "a\\n=1.jpg", "ok.jpg"),
    ]
    assert rows[-1][1:4] == [f"'{formula}|b", "0.500000", "v1"]


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("C:\\Users\\Ann\\photos", "/mnt/c/Users/Ann/photos"),
        ("d:\\", "/mnt/d"),
        ("D:/my photos/", '"/mnt/d/my photos"'),
        ('"C:\\a"', "/mnt/c/a"),
        ("C:Usersphotos", "/mnt/c/…"),
        ("\\\\nas\\share\\a", "mount -t drvfs '//nas/share' /mnt/share) and give /mnt/share/a"),
        ("\\\\wsl$\\Ubuntu\\home\\ann", "here it is /home/ann"),
        ("\\\\wsl.localhost\\Ubuntu", "here it is /"),
        ("s3://bucket/photos", "aws s3 sync"),
        ("https://host/a.zip", "no path"),
        ("file:///home/ann", "without file://"),
    ],
)
def test_paths_of_windows_and_addresses_are_told_what_they_are_here(
    given: str, instead: str
) -> None:
    assert instead in (foreign_path(given) or "")


@pytest.mark.parametrize(
    "given", ["photos", "/mnt/c/x", "./a:b", "../x", "a b", "-", "~/x", "1.jpg"]
)
def test_paths_of_this_system_are_no_others(given: str) -> None:
    assert foreign_path(given) is None


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("command", ["predict", "ingest"])
def test_the_commands_tell_what_a_path_is_that_leads_nowhere(
    places: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(places / ".home"))
    monkeypatch.setenv("COLUMNS", "300")
    refused = CliRunner().invoke(app, [command, "C:\\photos"])
    assert (refused.exit_code, "/mnt/c/photos" in refused.output) == (2, True)
    (places / "elsewhere/self").symlink_to("self")
    refused = CliRunner().invoke(app, [command, "self"])
    assert (refused.exit_code, "a link to itself" in refused.output) == (2, True)
    (places / "elsewhere/C:\\photos").mkdir()
    assert given_path("C:\\photos") == Path("C:\\photos")


def test_a_file_whose_name_is_not_utf8_can_be_told(places: Path) -> None:
    endpoints: Any = None
    answer = ask_endpoint(endpoints, Path(os.fsdecode(b"n\xe4.jpg")), stage="prod", top_k=1)
    assert answer.file == "n\\xe4.jpg"


def test_a_file_that_no_endpoint_takes_is_not_even_read(places: Path) -> None:
    def refusal(name: str) -> str:
        endpoints: Any = None  # is not asked
        return ask_endpoint(endpoints, places / name, stage="prod", top_k=1).error

    os.mkfifo(places / "pipe")
    assert refusal("pipe") == "not a regular file"
    with (places / "huge.jpg").open("wb") as huge:
        huge.truncate(26 * 1024**2)
    assert "26.0 MB, more than the 25 MB" in refusal("huge.jpg")
    assert "cannot be read" in refusal("none.jpg")


@pytest.fixture
def own_environment() -> Iterator[None]:
    """A command makes its home that of the process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("own_environment")
def test_the_command_looks_for_a_model_once_it_has_files(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(places / ".home"))
    asked = CliRunner().invoke(app, ["predict", "../.hidden/store/raw", "link"])
    assert (asked.exit_code, "nothing is deployed" in asked.output) == (1, True)
    (places / "empty").mkdir()
    empty = CliRunner().invoke(app, ["predict", "../empty"])
    assert (empty.exit_code, "no file in ../empty" in empty.output) == (1, True)


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("command", ["predict", "ingest"])
def test_an_empty_path_is_not_the_present_folder(
    places: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """As an unset variable of the shell gives it."""
    monkeypatch.setenv("IMGCLF_HOME", str(places / ".home"))
    result = CliRunner().invoke(app, [command, ""])
    assert (result.exit_code, "it is empty" in result.output) == (2, True)
    assert not (places / ".home").exists()


def test_names_and_labels_are_shown_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two long names that differ at their ends would look the same, cut off."""
    monkeypatch.setenv("COLUMNS", "60")
    names = [f"{'x' * 60}_{number}.jpg" for number in (1, 2)]
    narrow = Console(width=60)
    reasons = IngestReport(rejected=[(name, "empty file") for name in names])
    show_report(narrow, reasons, "", "")
    narrow.print(_table([Answer(name, labels=[("y" * 60 + "z", 0.5)]) for name in names]))
    out = capsys.readouterr().out
    assert "…" not in out
    assert (out.count("_1.jpg"), out.count("_2.jpg")) == (2, 2)
