"""What folders say: understood, or asked about; never guessed."""

from collections import Counter
from collections.abc import Mapping

import pytest

from labelling.sources.folders.layouts import Layout, read_layout
from labelling.sources.folders.names import kind_of, split_of
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


def layout(folders: str, **options: str) -> Layout:
    """Two images in each folder; ``.`` is the top, ``_`` stands for a space."""
    names = [
        f"{folder.replace('_', ' ') if folder != '.' else ''}/{i}.jpg".lstrip("/")
        for folder in folders.split()
        for i in range(2)
    ]
    return read_layout(names, ReadingOptions(**options))


def counted(found: Layout) -> dict[str | None, int]:
    """Images by class; ``None``: without; ``masks``: no pictures."""
    counts: Counter[str | None] = Counter()
    for folder, images in found.counts.items():
        counts["masks" if folder in found.masks else found.labels.get(folder)] += images
    return dict(counts)


UNDERSTOOD: Mapping[str, tuple[str, dict[str | None, int]]] = {
    "first letters": ("a/abbey a/attic b/bar", {"abbey": 2, "attic": 2, "bar": 2}),
    "letters": ("a b c", {"a": 2, "b": 2, "c": 2}),
    "a folder for each class": ("cat dog", {"cat": 2, "dog": 2}),
    "digits": ("0 1 2", {"0": 2, "1": 2, "2": 2}),
    "numbered classes": ("001.Black 002.Foo", {"001.Black": 2, "002.Foo": 2}),
    "kaggle: test without classes": ("train/a train/b test", {"a": 2, "b": 2, None: 2}),
    "intel": (
        "seg-train/seg-train/a seg-train/seg-train/b seg-test/seg-test/a seg-pred/seg-pred",
        {"a": 4, "b": 2, None: 2},
    ),
    "tiny_imagenet": ("train/n1/images train/n2/images val/images", {"n1": 2, "n2": 2, None: 2}),
    "splits with images right in them": ("train test", {None: 4}),
    "samples beside splits": (
        "train/ok train/nok test/ok test/nok samples",
        {"ok": 4, "nok": 4, None: 2},
    ),
    "mvtec": (
        "bottle/train/good bottle/test/good bottle/test/cut bottle/ground-truth/cut",
        {"good": 4, "cut": 2, "masks": 2},
    ),
    "other spellings": ("Training_Set/a Training_Set/b TestData/a", {"a": 4, "b": 2}),
    "languages": ("Entraînement/a Entraînement/b 测试集/a", {"a": 4, "b": 2}),
    "a word that all splits share": ("xray-train/a xray-train/b xray-test/b", {"a": 2, "b": 4}),
    "folds": ("fold-0/a fold-0/b fold-1/a fold-1/b", {"a": 4, "b": 4}),
    "dates": ("2024-05-01/a 2024-05-01/b 20240502/a", {"a": 4, "b": 2}),
    "days of a camera": ("2024-05-01 2024-05-02 .", {None: 6}),
    "a tree of dates": ("2024/05/01 2024/06/17", {None: 4}),
    "years with classes": ("2023/a 2024/a 2024/b", {"a": 4, "b": 2}),
    "dates below classes": ("ok/2024-05-01 ok/2024-05-02 nok/2024-05-01", {"ok": 4, "nok": 2}),
    "classes above splits": ("cat/train cat/test dog/train dog/test", {"cat": 4, "dog": 4}),
    "images below classes": ("cat/images dog/images", {"cat": 2, "dog": 2}),
    "sessions with the same classes": ("session-1/a session-1/b session-2/b", {"a": 2, "b": 4}),
    "one more part": ("train/a train/b lab/a lab/b test/a", {"a": 6, "b": 4}),
    "more images beside splits": ("train/a train/b test/a more", {"a": 4, "b": 2, None: 2}),
    "Keras wants a folder around images": ("train/a train/b test/unknown", {"a": 2, "b": 2, None: 2}),
    "a container": ("images", {None: 2}),
    "containers": ("JPEGImages Annotations", {None: 2, "masks": 2}),
    "images and masks": ("images masks", {None: 2, "masks": 2}),
    "new folders": ("New_Folder New_Folder_(2)", {None: 4}),
    "a camera's folders": ("DCIM/100CANON DCIM/101CANON", {None: 4}),
    "folders around everything": ("home/set/cat home/set/dog", {"cat": 2, "dog": 2}),
    "images at the top": (". cat dog", {None: 2, "cat": 2, "dog": 2}),
    "images beside the classes": ("mine mine/cat mine/dog", {None: 2, "cat": 2, "dog": 2}),
    "to be labelled": ("cat dog un-labelled unsorted", {"cat": 2, "dog": 2, None: 4}),
    "split and class in one name": (
        "train-cats train-dogs test-cats test-dogs",
        {"cats": 4, "dogs": 4},
    ),
    "classes that are called like masks": ("mask no-mask", {"mask": 2, "no-mask": 2}),
    "one folder too many": ("cats/cats dogs/dogs", {"cats": 2, "dogs": 2}),
    "the class in the container's name": (
        "cats/cats-images dogs/dogs-images",
        {"cats": 2, "dogs": 2},
    ),
    "parts with a name of their own": ("HAM-images-part-1 HAM-images-part-2", {None: 4}),
    "unpacked twice": (
        "xray/train/a xray/train/b xray/test/a xray/xray/train/a xray/xray/train/b xray/xray/test/a",
        {"a": 8, "b": 4},
    ),
    "protective equipment": ("masks gloves helmets", {"masks": 2, "gloves": 2, "helmets": 2}),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_understood_without_a_question(case: str) -> None:
    folders, wanted = UNDERSTOOD[case]
    found = layout(folders)
    assert found.doubts == ()
    assert counted(found) == wanted


ASKED: Mapping[str, tuple[str, dict[str, dict[str | None, int]]]] = {
    "a hierarchy": (
        "animal/cat/tabby animal/dog plant/rose",
        {
            "parent": {"tabby": 2, "dog": 2, "rose": 2},
            "top": {"animal": 4, "plant": 2},
            "none": {None: 6},
        },
    ),
    "a hierarchy below splits": (
        "train/animal/dog train/plant/rose test/animal/cat",
        {"parent": {"dog": 2, "rose": 2, "cat": 2}, "top": {"animal": 4, "plant": 2}},
    ),
    "many objects of mvtec": (
        "a/train/good a/test/bad b/train/good b/ground-truth/bad",
        {"parent": {"good": 4, "bad": 2, "masks": 2}, "top": {"a": 4, "b": 2, "masks": 2}},
    ),
    "folders that are a class only together": (
        "church/indoor church/outdoor flat/outdoor bar",
        {
            "parent": {"indoor": 2, "outdoor": 4, "bar": 2},
            "top": {"church": 4, "flat": 2, "bar": 2},
            "path": {"church_indoor": 2, "church_outdoor": 2, "flat_outdoor": 2, "bar": 2},
        },
    ),
    "below first letters, and splits": (
        "train/c/church/indoor train/c/church/outdoor train/f/flat/outdoor test/c/church/indoor test/f/flat/outdoor",
        {"path": {"church_indoor": 4, "church_outdoor": 2, "flat_outdoor": 4}},
    ),
    "levels called after a letter": (
        "a/a1 a/a2 b/b1",
        {"parent": {"a1": 2, "a2": 2, "b1": 2}, "top": {"a": 4, "b": 2}},
    ),
    "a class with a folder in it": (
        "cat dog dog/blurry",
        {"parent": {"cat": 2, "dog": 2, "blurry": 2}, "top": {"cat": 2, "dog": 4}},
    ),
    "a class called test": ("test control", {"parent": {"test": 2, "control": 2}}),
    "a class called train": ("train bus car", {"parent": {"train": 2, "bus": 2, "car": 2}}),
    "a class called valid": ("valid invalid", {"parent": {"valid": 2, "invalid": 2}}),
    "trains of two kinds": (
        "train/steam train/electric bus",
        {"parent": {"steam": 2, "electric": 2, "bus": 2}, "top": {"train": 4, "bus": 2}},
    ),
    "a class called photo": ("photo sketch", {"parent": {"photo": 2, "sketch": 2}}),
    "domains": (
        "photo/cat photo/dog sketch/cat sketch/dog",
        {"parent": {"cat": 4, "dog": 4}, "top": {"photo": 4, "sketch": 4}},
    ),
    "who knows which": (
        "left/cat left/dog right/cat right/dog",
        {"parent": {"cat": 4, "dog": 4}, "top": {"left": 4, "right": 4}},
    ),
    "years": ("1990 1995", {"parent": {"1990": 2, "1995": 2}, "none": {None: 4}}),
    "cameras": ("camera-1 camera-2", {"parent": {"camera-1": 2, "camera-2": 2}}),
    "samples beside classes": ("cat dog samples", {"parent": {"cat": 2, "dog": 2, "samples": 2}}),
    "a copy by the desktop": ("cat dog cat_(2)", {"parent": {"cat": 2, "dog": 2, "cat (2)": 2}}),
    "a class called test below splits": (
        "train/test train/control val/test val/control",
        {"parent": {"test": 4, "control": 4}},
    ),
    "one folder": ("cat", {"parent": {"cat": 2}, "none": {None: 2}}),
    "one folder below a split": ("train/good test", {"parent": {"good": 2, None: 2}}),
    "one folder beside images": (". defects", {"parent": {None: 2, "defects": 2}}),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_asked_with_every_answer(case: str) -> None:
    folders, wanted = ASKED[case]
    (doubt,) = layout(folders).doubts
    offered = {option.removeprefix("--labels-from ") for option, _ in doubt.answers}
    assert offered >= wanted.keys()
    for answer, counts in wanted.items():
        found = layout(folders, labels_from=answer)
        assert (found.doubts, counted(found)) == ((), counts)


def test_all_folders_together_are_offered_only_where_the_innermost_merge_classes() -> None:
    for folders in (
        "animal/cat animal/dog plant/rose",
        "photo/cat photo/dog sketch/cat sketch/dog",
    ):
        (doubt,) = layout(folders).doubts
        assert "--labels-from path" not in dict(doubt.answers)


def test_the_same_series_in_many_folders_is_asked_about_in_short() -> None:
    folders = " ".join(f"{at}-class/{size}x" for at in range(30) for size in (10, 40))
    (doubt,) = layout(folders).doubts
    assert "28 more folders hold such" in doubt.question
    assert set(layout(folders, labels_from="top").labels.values()) == {
        f"{at}-class" for at in range(30)
    }


def test_answers_tell_what_would_come_of_them() -> None:
    (doubt,) = layout("animal/dog plant/rose").doubts
    assert dict(doubt.answers) == {
        "--labels-from parent": "classes: dog (2), rose (2)",
        "--labels-from top": "classes: animal (2), plant (2)",
        "--labels-from none": "no labels: 4 images without",
    }


def test_one_folder_is_no_question_if_the_class_is_known_already() -> None:
    found = read_layout(["cat/0.jpg"], ReadingOptions(), known=frozenset({"cat"}))
    assert (found.doubts, found.labels) == ((), {"cat": "cat"})


def test_a_folder_of_the_archives_own_name_is_no_class() -> None:
    found = read_layout(["photos/0.jpg"], ReadingOptions(), around="photos")
    assert (found.doubts, found.labels) == ((), {})
    cats = read_layout(["cats/0.jpg"], ReadingOptions(), around="cats")
    assert (cats.doubts, cats.labels) == ((), {})
    assert [text for text in cats.warnings if text.endswith("If it is one: --as-class cats")]
    assert not read_layout(
        ["cats/a/0.jpg", "cats/b/0.jpg"], ReadingOptions(), around="cats"
    ).warnings


def test_folders_that_only_hold_images_are_classes_for_who_says_so() -> None:
    assert counted(layout("train test", labels_from="parent")) == {"train": 2, "test": 2}
    assert counted(layout("images/train data/train", labels_from="top")) == {"images": 2, "data": 2}


def test_what_was_passed_over_is_a_class_for_who_says_so() -> None:
    found = layout("train/a train/b test/unknown", labels_from="parent")
    assert counted(found) == {"a": 2, "b": 2, "unknown": 2}


def test_no_class_is_ever_a_split_or_a_container_without_being_asked() -> None:
    """Whatever lies beside them."""
    for name in ("train", "test", "val", "images", "Validation_Set", "fold-1", "2024-05-01"):
        for beside in ("", "cat", "cat dog", "cat/a dog/a", "cat/a dog/b", "."):
            found = layout(f"{name} {beside}")
            plain = name.replace("_", " ")
            assert found.doubts or plain not in found.labels.values(), (name, beside)


def test_splits_are_given_by_the_folders_of_that_name() -> None:
    found = layout("seg-train/cat seg-test/cat valid/cat seg-pred")
    assert found.splits == {"seg-train/cat": "train", "seg-test/cat": "test", "valid/cat": "val"}


def test_splits_within_folds_are_none() -> None:
    found = layout("fold-0/train/a fold-0/test/b fold-1/train/b fold-1/test/a")
    assert (found.splits, counted(found)) == ({}, {"a": 4, "b": 4})


def test_masks_are_known_by_the_names_of_their_files() -> None:
    names = ["a/1.png", "a/Label/1_label.png", "b/1.png", "b/Label/1_label.png"]
    found = read_layout(names, ReadingOptions())
    assert (found.masks, found.labels) == ({"a/Label", "b/Label"}, {"a": "a", "b": "b"})


def test_a_label_is_in_its_normal_form() -> None:
    found = read_layout(["Cafe\u0301 /1.png", "dog/1.png"], ReadingOptions())
    assert set(found.labels.values()) == {"Caf\u00e9", "dog"}


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("TRAIN", "train"), ("Training Set", "train"), ("train2017", "train"),
     ("trainset", "train"), ("test (1)", "test"), ("Testdaten", "test"), ("valid", "val"),
     ("dev", "val"), ("val_images", "val"), ("ＴＲＡＩＮ", "train"), ("seg_train", "train")],
)  # fmt: skip
def test_a_split_in_any_spelling(name: str, split: str) -> None:
    assert (kind_of(name), split_of(name)) == ("split", split)


@pytest.mark.parametrize(
    "name",
    ["train station", "steam_train", "latest", "contest", "protest", "invalid", "devices", "trainer",
     "testimony", "interval", "test strips", "imaging", "n01443537", "class_1", "with_mask", "2", "a"],
)  # fmt: skip
def test_a_name_that_only_sounds_like_one(name: str) -> None:
    assert kind_of(name) == "name"
