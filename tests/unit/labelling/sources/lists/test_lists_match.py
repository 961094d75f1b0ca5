"""Which file a list means: found by what is written, or refused with what might be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.files.finder import FileFinder
from labelling.sources.lists.files.index import FileIndex
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Statement
from labelling.sources.lists.match import (
    LABELLED_TWICE,
    NO_SUCH_FILE,
    OTHER_FOLDER,
    OTHER_SUFFIX,
    SEVERAL_FIT,
    TWO_SPLITS,
    Matching,
    match,
)

pytestmark = pytest.mark.unit

FILES = (
    "a.jpg", "cat/1.png", "dog/1.png", "images/x y.jpg", "images/café.jpg", "images/U.JPG",
    "images/deep/z.jpg", "train/images/s.jpg", "val/images/s.jpg", "100%.png", "n#1.jpg",
    "same.jpg", "same.png", "Case.jpg", "case.jpg",
)  # fmt: skip


@pytest.mark.parametrize(
    ("written", "folder", "found"),
    [
        ("a.jpg", "", "a.jpg"),
        ("./a.jpg", "", "a.jpg"),
        ("././/a.jpg", "", "a.jpg"),
        ("A.JPG", "", "a.jpg"),
        ("a", "", "a.jpg"),
        ("A", "", "a.jpg"),
        (" 'a.jpg' ", "", "a.jpg"),
        ("images\\u.jpg", "", "images/U.JPG"),
        (".\\images\\deep\\z.jpg", "", "images/deep/z.jpg"),
        ("images/cafe\u0301.jpg", "", "images/café.jpg"),
        ("images/caf\u00e9.jpg", "", "images/café.jpg"),
        ("images/x%20y.jpg", "", "images/x y.jpg"),
        ("100%.png", "", "100%.png"),
        ("z.jpg", "", "images/deep/z.jpg"),
        ("deep/z.jpg", "", "images/deep/z.jpg"),
        ("z", "", "images/deep/z.jpg"),
        ("/home/me/photos/a.jpg", "", "a.jpg"),
        ("/home/me/photos/cat/1.png", "", "cat/1.png"),
        ("C:\\Users\\me\\dog\\1.png", "", "dog/1.png"),
        ("file:///home/me/dog/1.png", "", "dog/1.png"),
        ("https://example.org/w/cat/1.png?width=3#top", "", "cat/1.png"),
        ("https://example.org/images/x%20y.jpg", "", "images/x y.jpg"),
        ("s3://bucket/any/where/n#1.jpg", "", "n#1.jpg"),
        ("gs://bucket/elsewhere/z.jpg", "", "images/deep/z.jpg"),
        ("s.jpg", "train", "train/images/s.jpg"),
        ("images/s.jpg", "val", "val/images/s.jpg"),
        ("../images/U.JPG", "labels", "images/U.JPG"),
        ("a.jpg", "labels", "a.jpg"),
        ("images/u.jpg", "images", "images/U.JPG"),
        ("Case.jpg", "", "Case.jpg"),
        ("same.png", "", "same.png"),
        ("photos/images/deep/z.jpg", "", "images/deep/z.jpg"),
    ],
)
def test_a_file_is_found_as_it_is_written(written, folder, found):
    assert FileFinder(FileIndex(FILES), folder).find(written) == [found]


@pytest.mark.parametrize(
    ("written", "folder", "fit"),
    [
        ("1.png", "", ["cat/1.png", "dog/1.png"]),
        ("/mnt/bird/1.png", "", ["cat/1.png", "dog/1.png"]),
        ("https://example.org/1.png", "", ["cat/1.png", "dog/1.png"]),
        ("images/s.jpg", "", ["train/images/s.jpg", "val/images/s.jpg"]),
        ("same", "", ["same.jpg", "same.png"]),
        ("CASE.jpg", "", ["Case.jpg", "case.jpg"]),
        ("bird/a.png", "", []),
        ("bird/z.jpg", "", []),
        ("z.png", "", []),
        ("../../etc/passwd", "", []),
        ("/etc/passwd", "", []),
        ("../a.jpg.txt", "", []),
        ("", "", []),
        ("..", "", []),
        ("https://", "", []),
        ("http://[x/a.jpg", "", []),
    ],
)
def test_what_is_not_clear_is_not_guessed(written, folder, fit):
    assert FileFinder(FileIndex(FILES), folder).find(written) == fit


def test_many_files_of_one_name_are_distinguished():
    files = [f"{at}/frame.jpg" for at in range(200)]
    finder = FileFinder(FileIndex(files), "")
    assert finder.find("7/FRAME.jpg") == ["7/frame.jpg"]
    assert finder.find("8/frame") == ["8/frame.jpg"]
    assert finder.find("/x/9/frame.jpg") == ["9/frame.jpg"]
    assert len(finder.find("frame.jpg")) == 200


@given(
    st.sets(st.text("aAb./\\% é", min_size=1, max_size=8), max_size=12),
    st.text("aAb./\\%é:", max_size=10),
)
def test_only_files_of_the_source_are_found(names, written):
    files = {name.strip("/") for name in names} - {""}
    finder = FileFinder(FileIndex(files), "")
    assert set(finder.find(written)) <= files
    for name in files:
        assert finder.find(name)[:1] == [name]


# --- statements -------------------------------------------------------------------------


def list_of(
    *statements: tuple[str, tuple[str, ...] | None] | Statement,
) -> list[tuple[str, ListReading]]:
    listed = [
        each if isinstance(each, Statement) else Statement(f"l.csv:{line}", *each)
        for line, each in enumerate(statements, 2)
    ]
    return [("l.csv", ListReading("", listed))]


def matched(*statements) -> Matching:
    return match(list_of(*statements), FileIndex(FILES), len(FILES))


FINE = [("a.jpg", ("cat",)), ("n#1.jpg", ("cat",)), ("same.jpg", ("dog",)), ("z.jpg", ("dog",))]


def test_the_same_said_twice_is_said_once():
    found = matched(*FINE, ("./A.jpg", ("cat",)), ("a.jpg", ("cat",)))
    assert found.labels["a.jpg"] == ("cat",)
    assert found.rejections == []
    assert found.places["a.jpg"] == "l.csv:2"


def test_several_labels_in_another_order_are_the_same():
    assert matched(("a.jpg", ("cat", "dog")), ("a.jpg", ("dog", "cat"))).rejections == []


def test_what_contradicts_itself_is_named_with_both_places_and_not_used():
    found = matched(*FINE, ("a.jpg", ("dog",)))
    assert "a.jpg" not in found.labels
    assert found.rejections == [
        Rejection("l.csv:2 a.jpg: cat", LABELLED_TWICE),
        Rejection("l.csv:6 a.jpg: dog", LABELLED_TWICE),
    ]
    assert "a.jpg" not in matched(*FINE, ("a.jpg", ("dog",)), ("a.jpg", ("cat",))).labels


def test_two_lists_contradict_each_other_as_two_lines_do():
    one, other = list_of(*FINE)[0], list_of(*FINE[1:], ("a.jpg", ("dog",)))[0]
    found = match([one, ("m.csv", other[1])], FileIndex(FILES), len(FILES))
    assert "a.jpg" not in found.labels
    assert len(found.rejections) == 2


def test_labels_are_written_in_one_form():
    found = matched(("a.jpg", ("cafe\u0301",)), ("same.jpg", ("caf\u00e9 ",)))
    assert set(found.labels.values()) == {("café",)}


def test_an_image_may_be_named_without_a_label_and_have_none_of_the_labels():
    found = matched(("a.jpg", None), ("same.jpg", ()))
    assert found.labels == {"same.jpg": ()}
    assert found.places.keys() == {"a.jpg", "same.jpg"}


def test_what_is_not_found_is_refused_in_the_same_words_with_what_may_be_meant():
    found = matched(*FINE, ("1.png", ("cat",)), ("no.jpg", ("cat",)), ("bird/a.jpg", ("cat",)))
    assert found.rejections == [
        Rejection("l.csv:6 1.png: cat/1.png or dog/1.png", SEVERAL_FIT),
        Rejection("l.csv:7 no.jpg", NO_SUCH_FILE),
    ]
    found = matched(*FINE, ("z.png", ("cat",)))
    assert found.rejections == [Rejection("l.csv:6 z.png: images/deep/z.jpg", OTHER_SUFFIX)]
    found = matched(*FINE, ("bird/z.jpg", ("cat",)))
    assert found.rejections == [Rejection("l.csv:6 bird/z.jpg: images/deep/z.jpg", OTHER_FOLDER)]


def test_two_splits_of_an_image_are_not_used_and_its_label_is():
    found = matched(
        *FINE, Statement("l:1", "same.png", ("cat",), "train"), Statement("l:2", "same.png", ("cat",), "test"),
        Statement("l:3", "same.png", ("cat",), "train"),
    )  # fmt: skip
    assert found.labels["same.png"] == ("cat",)
    assert "same.png" not in found.splits
    assert found.rejections == [Rejection("l:1 same.png: train; l:2: test", TWO_SPLITS)]


def test_another_name_is_tried_where_the_first_is_not_there():
    found = matched(Statement("l:1", "1a2b3c4d-a.jpg", ("cat",), or_file="a.jpg"))
    assert found.labels == {"a.jpg": ("cat",)}


def test_half_of_a_list_may_be_unusable_and_no_more():
    assert matched(*FINE, *[(f"x{at}.jpg", ("cat",)) for at in range(4)]).labels
    with pytest.raises(ListRefusedError, match="5 of 9 .*no such file"):
        matched(*FINE, *[(f"x{at}.jpg", ("cat",)) for at in range(5)])


def test_a_list_of_more_images_than_were_brought_is_understood_if_it_names_those_brought():
    lists = list_of(*FINE[:1], *[(f"x{at}.jpg", ("cat",)) for at in range(50)])
    assert match(lists, FileIndex(["a.jpg"]), 1).labels == {"a.jpg": ("cat",)}


def test_what_one_list_contradicts_is_not_held_against_the_next():
    first = list_of(
        ("a.jpg", ("cat",)), ("a.jpg", ("dog",)), ("case.jpg", ("cat",)), ("Case.jpg", ("cat",))
    )
    other = list_of(("same.jpg", ("cat",)), *[(f"x{at}.jpg", ("cat",)) for at in range(9)])
    lists = [first[0], ("m.csv", other[0][1])]
    found = match(lists, FileIndex(FILES), 1)
    assert found.labels.keys() == {"case.jpg", "Case.jpg", "same.jpg"}


def test_a_whole_path_goes_before_the_end_of_a_longer_one():
    finder = FileFinder(FileIndex(["cat/1.png", "x/cat/1.png"]), "")
    assert finder.find("cat/1") == ["cat/1.png"]
    assert finder.find("CAT/1.png") == ["cat/1.png"]
    assert finder.find("/cat/1.png") == ["cat/1.png", "x/cat/1.png"]
    assert finder.find("/mnt/x/cat/1.png") == ["x/cat/1.png"]


def test_the_index_knows_many_files_of_one_name_by_their_paths():
    index = FileIndex(f"{at}/frame.jpg" for at in range(200))
    assert index.by_path("7/FRAME.jpg") == ["7/frame.jpg"]
    assert index.by_path_without_suffix("8/Frame") == ["8/frame.jpg"]
    assert index.by_path("7/frame") == index.by_path_without_suffix("x/frame") == []
