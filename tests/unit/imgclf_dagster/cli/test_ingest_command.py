"""``imgclf ingest`` says what it understood before it writes, and asks where it is in doubt."""

from pathlib import Path

import pytest

from imgclf_dagster.cli.ingest import ingest as command
from imgclf_dagster.processes.supervisor import single_instance
from object_store.store import ObjectStore
from tests.unit.imgclf_dagster.ingest.ingest_of_tests import Ingest, ingest

__all__ = ["ingest"]

pytestmark = pytest.mark.unit

NESTED = ("animal/dog", "plant/rose")


# --- what is said first ------------------------------------------------------------------------


def test_what_is_understood_is_reported_and_then_written(ingest: Ingest) -> None:
    ingest.lay("train/cat", "train/dog", "test", files={"README.txt": "pictures of pets"})
    assert ingest() == 0
    answer, written = ingest.out.split("labels written")
    for part in ("a folder for each class, below train", "cat", "train/cat/001.png", "dog",
                 "2 images without labels: test/005.png", "ignored: 1 ×", "README.txt",
                 "the line deals its own", "--keep-splits"):  # fmt: skip
        assert part in answer, part
    assert "classes: cat (2), dog (2)" in written
    assert "next: imgclf run" in written
    assert ingest.counts() == {"cat": 2, "dog": 2}


def test_while_up_runs_nothing_is_left_to_do(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    with single_instance(ingest.home / "run"):
        assert ingest() == 0
    assert "next: nothing: imgclf up is running and takes them in" in ingest.words
    assert "imgclf run" not in ingest.words
    ingest.lay(".")
    with single_instance(ingest.home / "run"):
        assert ingest("--labels-from", "none") == 0
    assert "stop that and start imgclf up --label-studio" in ingest.words


def test_files_and_lines_of_lists_that_cannot_be_used_are_counted_apart(ingest: Ingest) -> None:
    ingest.lay(".", count=4, files={"broken.png": "no image"})
    named = ["001.png,cat", "002.png,cat", "003.png,dog", "gone.png,dog", "004.png,dog"]
    (ingest.source / "labels.csv").write_text("\n".join(["file,label", *named]), encoding="utf-8")
    assert ingest() == 0
    assert "refused" not in ingest.out
    assert "rejected: 1 × " in ingest.out
    assert "gone.png" in ingest.out
    header, row = (
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")]
        for line in ingest.out.splitlines()
        if "labels written" in line or (line.startswith("│") and "│ 4 " in line)
    )
    counts = dict(zip(header, row, strict=True))
    assert (counts["new"], counts["rejected"], counts["lines of lists rejected"]) == ("4", "1", "1")
    assert ingest("--json") == 0
    facts = ingest.facts
    assert (facts["rejected_files"], facts["rejected_entries"], len(facts["rejected"])) == (1, 1, 2)
    (ingest.source / "labels.csv").unlink()
    ingest("--labels-from", "none")
    assert "lines of lists" not in ingest.out


def test_a_question_that_a_setting_answers_says_where_the_settings_are(ingest: Ingest) -> None:
    """A home that does not exist yet has no file that the user could find."""
    ingest.lay("cat", "dog")
    (ingest.source / "labels.csv").write_text(
        "file,labels\ncat/001.png,cat|dog\n", encoding="utf-8"
    )
    assert ingest() == 1
    assert 'set task = "multi_label" under [labels] in imgclf.toml' in ingest.words
    assert f"it is read from {ingest.home / 'imgclf.toml'}" in ingest.words
    assert not ingest.home.exists()


def test_a_dry_run_says_the_same_and_writes_nothing_at_all(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    assert ingest("--dry-run") == 0
    assert "cat/001.png" in ingest.out
    assert "nothing was written" in ingest.out
    assert not ingest.home.exists()
    ingest.lay("mine/too")
    assert ingest("--dry-run") == 1
    assert not ingest.home.exists()


def test_json_has_the_same_facts(ingest: Ingest) -> None:
    ingest.lay("train/cat", "train/dog", "test/cat", ".", files={"a.mp4": "x", "b.mp4": "x"})
    assert ingest("--json") == 0
    facts = ingest.facts
    understood = facts["understood"]
    assert understood["classes"] == [
        {"name": "cat", "images": 4, "example": "test/cat/005.png"},
        {"name": "dog", "images": 2, "example": "train/dog/003.png"},
    ]
    assert (understood["unlabelled"], understood["splits"]) == (2, {"train": 4, "test": 2})
    assert [(group["count"], group["examples"]) for group in understood["refused"]] == [
        (2, ["a.mp4", "b.mp4"])
    ]
    assert (facts["new"], facts["classes"], facts["next"]) == (
        8,
        {"cat": 4, "dog": 2},
        "imgclf run",
    )
    assert [group["name"] for group in facts["rejected"]] == ["a.mp4", "b.mp4"]


def test_of_many_classes_the_first_are_shown(ingest: Ingest) -> None:
    ingest.lay(*(f"class {number:02d}" for number in range(25)), count=1)
    assert ingest("--dry-run") == 0
    assert "class 19" in ingest.out
    assert "class 20" not in ingest.out
    assert "5 more classes with 5 images" in ingest.out


def test_a_reason_is_reported_once_with_its_count_and_three_examples(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    for number in range(60):
        (ingest.source / "cat" / f"broken{number:02d}.png").write_bytes(b"not an image at all")
    assert ingest() == 0
    (line,) = [line for line in ingest.out.splitlines() if "broken" in line]
    assert line.startswith("rejected: 60 ×")
    assert [f"broken{number:02d}.png" in line for number in range(4)] == [True, True, True, False]


def test_byte_identical_files_are_reported_and_contradictions_named(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    same = (ingest.source / "cat/001.png").read_bytes()
    for name in ("cat/copy.png", "dog/other.png"):
        (ingest.source / name).write_bytes(same)
    (ingest.source / "dog/again.png").write_bytes((ingest.source / "dog/003.png").read_bytes())
    assert ingest() == 0
    assert "4 images: 3 files are byte-identical copies of others" in ingest.out
    (line,) = [line for line in ingest.out.splitlines() if "labelled cat and dog" in line]
    assert "cat/001.png" in line
    assert "dog/other.png" in line
    assert ingest("--json") == 0
    assert ingest.facts["byte_identical"]["files"] == 3
    assert ingest.facts["byte_identical"]["contradictions"] == 1


def test_names_and_labels_cannot_act_on_the_terminal(ingest: Ingest) -> None:
    ingest.lay("[red]a\x1b[31m", "dog")
    assert ingest("--dry-run") == 0
    assert "\x1b" not in ingest.out
    assert r"[red]a\x1b[31m" in ingest.out


# --- what is doubtful --------------------------------------------------------------------------


def test_a_doubt_stops_it_and_names_the_options(ingest: Ingest) -> None:
    ingest.lay(*NESTED)
    assert ingest() == 1
    for part in ("--labels-from parent: classes: dog (2), rose (2)",
                 "--labels-from top: classes: animal (2), plant (2)", "nothing was written"):  # fmt: skip
        assert part in ingest.words, part
    assert not ingest.home.exists()
    assert ingest("--yes") == 1
    assert ingest("--json") == 1
    options = [answer["option"] for answer in ingest.facts["understood"]["doubts"][0]["answers"]]
    assert options == ["--labels-from parent", "--labels-from top", "--labels-from none"]
    assert ingest.facts["written"] is False
    assert ingest("--labels-from", "top") == 0
    assert ingest.counts() == {"animal": 2, "plant": 2}


def test_on_a_terminal_it_asks(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    ingest.lay(*NESTED)
    assert ingest(answers="4\n") == 1
    assert "nothing was written" in ingest.words
    assert not ingest.home.exists()
    assert ingest(answers="9\n1\n") == 0
    assert "available options" in ingest.words
    assert ingest.counts() == {"dog": 2, "rose": 2}


def test_the_name_of_a_class_is_asked_for(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    ingest.lay("mine")
    assert ingest(answers="3\n big cat \n") == 0
    assert ingest.counts() == {"big cat": 2}


def test_classes_that_look_alike_are_asked_about(ingest: Ingest) -> None:
    ingest.lay("Cat", "cat ", "dog")
    assert ingest() == 1
    assert "'Cat' / 'cat'" in ingest.words
    assert ingest("--yes") == 0
    assert ingest.counts() == {"Cat": 2, "cat": 2, "dog": 2}


def test_one_folder_is_a_class_where_the_settings_list_it(ingest: Ingest) -> None:
    ingest.lay("cat")
    assert ingest("--dry-run") == 1
    ingest.home.mkdir()
    (ingest.home / "imgclf.toml").write_text('[labels]\nnames = ["cat", "dog"]\n', "utf-8")
    assert ingest("--dry-run") == 0


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("--labels-from", "none"), {}),
        (("--as-class", "scratch"), {"scratch": 4}),
        (("--labels-from", "parent"), {"good": 2, "bad": 2}),
        (("--labels-from", "extra.csv"), {"x": 1}),
        ((), {"a": 2, "b": 1}),
        (("--columns", "name,colour"), {"red": 3}),
        (("--columns", "1,3"), {"red": 3}),
    ],
)
def test_an_option_decides(ingest: Ingest, args: tuple[str, ...], wanted: dict[str, int]) -> None:
    ingest.lay(
        "good",
        "bad",
        files={
            "labels.csv": "name,label,colour\ngood/001.png,a,red\n"
            "good/002.png,a,red\nbad/003.png,b,red\n",
            "sub/extra.csv": "file,label\n../good/002.png,x\n",
        },
    )
    given = [str(ingest.source / "sub/extra.csv") if arg == "extra.csv" else arg for arg in args]
    if not args or "--columns" in args:
        (ingest.source / "sub/extra.csv").unlink()
    assert ingest("--dry-run", "--json", *given) == 0
    classes = ingest.facts["understood"]["classes"]
    assert {one["name"]: one["images"] for one in classes} == wanted


def test_a_list_outside_the_source_gives_labels(ingest: Ingest, tmp_path: Path) -> None:
    ingest.lay(".")
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("image;species\nphotos/001.png;wolf\n002.png;lynx\n", "utf-8")
    assert ingest("--labels-from", elsewhere) == 0
    assert ingest.labels() == {"lynx": ["002.png"], "wolf": ["001.png"]}


def test_an_encoding_is_taken(ingest: Ingest) -> None:
    ingest.lay(".")
    text = "file,labels\n001.png,Łoś\n002.png,Żubr\n"
    (ingest.source / "labels.csv").write_bytes(text.encode("cp1250"))
    assert ingest("--encoding", "cp1250") == 0
    assert ingest.counts() == {"Łoś": 1, "Żubr": 1}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--columns", "one"), "are not two columns"),
        (("--as-class", " "), "a label is empty"),
    ],
)
def test_a_wrong_option_is_exit_code_2(
    ingest: Ingest, args: tuple[str, ...], expected: str
) -> None:
    ingest.lay("cat", "dog")
    assert ingest(*args) == 2
    assert expected in " ".join(ingest.words.replace("│", " ").split())


def test_nothing_to_use_is_exit_code_1_and_leaves_no_home(ingest: Ingest) -> None:
    ingest.lay(files={"export.zip": "x", "film.mp4": "x"})
    assert ingest() == 1
    assert "film.mp4" in ingest.out
    assert "could be used" in ingest.words
    assert not ingest.home.exists()


# --- splits ------------------------------------------------------------------------------------


def test_given_splits_are_kept_for_who_asks(ingest: Ingest) -> None:
    from assets.dataset.splits.given_splits import given_splits

    ingest.lay("train/cat", "train/dog", "test/cat", "test/dog")
    assert ingest("--keep-splits", "--json") == 0
    assert ingest.facts["splits_kept"] == 8
    store = ObjectStore(url=(ingest.home / "store").as_uri())
    found = given_splits(store)
    assert sorted(found.values()) == [
        *[("test", ("test",))] * 4,
        *[("train", ("train", "val"))] * 4,
    ]
    assert ingest("--keep-splits", "--json") == 0
    assert (ingest.facts["splits_kept"], ingest.facts["labelled"]) == (0, 0)


def test_an_image_in_two_splits_is_named_and_stays_in_test(ingest: Ingest) -> None:
    from assets.dataset.splits.given_splits import given_splits

    ingest.lay("train/cat", "test/cat", "test/dog")
    (ingest.source / "train/cat/again.png").write_bytes(
        (ingest.source / "test/cat/003.png").read_bytes()
    )
    assert ingest("--keep-splits") == 0
    assert "two splits" in ingest.words
    store = ObjectStore(url=(ingest.home / "store").as_uri())
    assert (
        sorted(split for split, _ in given_splits(store).values()) == ["test"] * 4 + ["train"] * 2
    )


def test_a_folder_beside_train_that_is_no_split_is_named(ingest: Ingest) -> None:
    ingest.lay("train/cat", "train/dog", "eval/cat", "inference/dog", "inference/cat")
    assert ingest("--keep-splits", "--dry-run") == 0
    assert "train 4, validation 2, in no split 4" in ingest.words
    assert "No split is given for 4 images (in inference/)" in ingest.words


def test_a_name_that_is_too_long_for_the_store_is_reported_once_with_the_remedy(
    ingest: Ingest,
) -> None:
    ingest.lay("cat", "dog")
    long = "x" * 241 + ".png"
    (ingest.source / "cat" / long).write_bytes((ingest.source / "cat/001.png").read_bytes())
    assert ingest("--json") == 0
    ((name, reason),) = [(one["name"], one["reason"]) for one in ingest.facts["rejected"]]
    assert (name, "xxx" in reason) == (f"cat/{long}", False)
    assert "longer than 240 bytes; give it a shorter one" in reason


def test_the_stores_own_folder_of_images_is_refused_as_the_home_is(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    assert ingest() == 0
    before = ingest.counts()
    (ingest.source.parent / "link").symlink_to(ingest.home / "store/raw")
    for own in (ingest.home / "store/raw", ingest.source.parent / "link", ingest.home / "store"):
        for more in ((), ("--yes",), ("--dry-run",)):
            assert ingest(*more, source=own) == 1
            assert "name the folder of the images" in ingest.words
            assert "--class" not in ingest.words
    assert ingest.counts() == before
    # a folder that is named below it is meant
    assert ingest("--as-class", "pet", source=ingest.home / "store/raw/photos/cat") == 0
