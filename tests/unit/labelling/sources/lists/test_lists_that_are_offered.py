"""Lists that are among the answers to a question, and the options that read them."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from labelling.labels.given_splits import no_splits_message
from labelling.sources.containers.containers import OptionError
from labelling.sources.lists.files.families import families
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit


def read(
    tmp_path: Path, images: Sequence[str], lists: Mapping[str, str], **options: object
) -> Reading:
    for image in images:
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image).write_bytes(b"x")
    for name, text in lists.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return read_source(tmp_path, ReadingOptions(**options))


def offered(found: Reading) -> list[str]:
    (doubt,) = found.doubts
    return [option for option, _ in doubt.answers]


def counted(found: Reading) -> dict[str, int]:
    assert found.doubts == ()
    return dict(Counter("|".join(text) for text in found.labels.values()))


PLACES = [
    f"data/{c}/im{at}.jpg" for c in ("a/airfield", "a/flat/outdoor", "z/zen") for at in range(4)
]
NUMBERS = "".join(f"{one.removeprefix('data')} {at // 4}\n" for at, one in enumerate(PLACES))


@pytest.mark.parametrize(
    ("names", "text"),
    [("categories_places.txt", "airfield 0\nflat outdoor 1\nzen 2\n"),
     ("places_class.txt", "0 airfield\n1 flat outdoor\n2 zen\n")],
)  # fmt: skip
def test_a_text_that_knows_the_classes_is_offered_where_folders_are_asked_about(
    tmp_path: Path, names: str, text: str
) -> None:
    text = text.replace("flat outdoor", "flat_outdoor")
    found = read(tmp_path, PLACES, {"lists/places_train.txt": NUMBERS, f"lists/{names}": text})
    assert "--labels-from lists/places_train.txt" in offered(found)
    assert not any("folders give" in group.reason for group in found.ignored)
    notes = read(tmp_path, PLACES, {}, labels_from="lists/places_train.txt")
    assert counted(notes) == {"airfield": 4, "flat_outdoor": 4, "zen": 4}


def art(tmp_path: Path, **options: object) -> Reading:
    images = [
        f"{style}/{at}_{n}.jpg" for n, style in enumerate(("Cubism", "Pop")) for at in range(8)
    ]
    lists = {
        f"csv/{what}_{split}.csv": "".join(
            f"{one},{(at // 8, at % 4)[what == 'artist']}\n"
            for at, one in enumerate(images)
            if (at % 8 < 6) == (split == "train")
        )
        for what in ("style", "artist")
        for split in ("train", "val")
    }
    lists["csv/style_class.txt"] = "0 Cubism\n1 Pop\n"
    return read(tmp_path, images, lists, **options)


def test_lists_of_two_attributes_are_offered_by_attribute_with_all_their_splits(
    tmp_path: Path,
) -> None:
    found = offered(art(tmp_path))
    assert {"--labels-from 'csv/style_*.csv'", "--labels-from 'csv/artist_*.csv'"} <= {*found}
    wanted = {"style": {"Cubism": 8, "Pop": 8}, "artist": dict.fromkeys("0123", 4)}
    for what, counts in wanted.items():
        (option,) = (each for each in found if what in each)
        reported = art(tmp_path, labels_from=shlex.split(option)[1])
        assert counted(reported) == counts
        assert dict(Counter(reported.splits.values())) == {"train": 12, "val": 4}


def test_a_pattern_may_be_a_path_and_must_fit_a_list(tmp_path: Path) -> None:
    assert counted(art(tmp_path, labels_from=str(tmp_path / "csv/style_*.csv"))) == {"Cubism": 8, "Pop": 8}  # fmt: skip
    with pytest.raises(OptionError, match="no_such"):
        art(tmp_path, labels_from="csv/no_such_*.csv")


def test_lists_are_of_one_family_only_if_nothing_else_is_called_so() -> None:
    two = ["a/style_train.csv", "a/style_val.csv"]
    assert families(two) == {"a/style_*.csv": two}
    more = [*two, "a/style_more.csv"]
    assert families(more) == {name: [name] for name in more}
    assert families(["train.csv", "val.csv"]) == {
        "train.csv": ["train.csv"],
        "val.csv": ["val.csv"],
    }


FACES = [f"img/{at:06}.jpg" for at in range(12)]
ATTRIBUTES = "12\nBald Smiling Male\n" + "".join(
    f"{at:06}.jpg {(-1, 1)[at % 2]} {(-1, 1)[at % 3 == 0]} {(-1, 1)[at % 4 == 1]}\n"
    for at in range(12)
)
IDENTITIES = "".join(f"{at:06}.jpg {'ABC'[at % 3] * 3}\n" for at in range(12))


def test_all_lists_that_contradict_one_another_are_offered(tmp_path: Path) -> None:
    lists = {"list_attr.txt": ATTRIBUTES, "identity.txt": IDENTITIES}
    found = offered(read(tmp_path, FACES, lists, task="multi_label"))
    assert {"--labels-from list_attr.txt", "--labels-from identity.txt"} <= {*found}
    notes = read(tmp_path, FACES, {}, task="multi_label", labels_from="list_attr.txt")
    assert {label for text in notes.labels.values() for label in text} == {
        "Bald",
        "Smiling",
        "Male",
    }


def test_a_list_of_several_labels_is_reported_with_the_setting_that_reads_it(
    tmp_path: Path,
) -> None:
    lists = {
        "list_attr.txt": ATTRIBUTES,
        "labels.csv": "file,label\n" + IDENTITIES.replace(" ", ",c"),
    }
    found = read(tmp_path, FACES, lists)
    (group,) = (group for group in found.ignored if group.examples == ("list_attr.txt",))
    assert "multi_label" in group.reason


def joint(extra: str) -> dict[str, str]:
    return {"labels/joint.txt": "".join(f"{c}/{at}.jpg {c}{extra if at > 3 else ''} \n" for c in ("dots", "lines") for at in range(6))}  # fmt: skip


@pytest.mark.parametrize("extra", [" bumpy", " bumpy shiny"])
def test_more_labels_than_the_folders_give_are_asked_about_in_multi_label(
    tmp_path: Path, extra: str
) -> None:
    images = [f"images/{c}/{at}.jpg" for c in ("dots", "lines") for at in range(6)]
    found = offered(read(tmp_path, images, joint(extra), task="multi_label"))
    assert found == ["--labels-from labels/joint.txt", "--labels-from parent"]
    notes = read(tmp_path, images, {}, task="multi_label", labels_from="labels/joint.txt")
    whole = "|".join(["dots", *extra.split()])
    assert counted(notes)[whole] == 2
    assert not notes.rejections


def test_sentences_behind_names_are_no_labels(tmp_path: Path) -> None:
    text = "".join(f"{at}.jpg a dog on the grass{' again' if at % 2 else ''}\n" for at in range(12))
    found = read(
        tmp_path, [f"{at}.jpg" for at in range(12)], {"notes.txt": text}, task="multi_label"
    )
    assert not any(len(message) > 1 for message in found.labels.values())


def test_splits_that_were_seen_and_not_understood_are_named_by_keep_splits() -> None:
    notes = ["data.csv: the column fold has a name of splits", "Excel wrote it"]
    text = no_splits_message("data", notes)
    assert "the column fold" in text
    assert "Excel" not in text
    assert "no folders such as train and test" in no_splits_message("data", [])
