"""Labels in a file beside each image, in VIA's CSV, and in forms of programs that are not read."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from labelling.sources.containers.litter import SIDECAR
from labelling.sources.labels_beside import BEHIND_A_LIST
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

TAKEOUT = {"title": "0.jpg", "photoTakenTime": {"timestamp": "1"}, "geoData": {"latitude": 0.0}}


def animal(number: int) -> str:
    return ("cat", "dog")[number % 2]


def source(at: Path, files: dict[str, bytes | str | dict[str, Any]]) -> Path:
    for name, held in files.items():
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(held) if isinstance(held, dict) else held
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return at


def beside(at: Path, name: str, make: Any, images: int = 24) -> Reading:
    """A reading of images with a file beside each, called as ``name`` says."""
    files: dict[str, Any] = {f"{number}.jpg": b"x" for number in range(images)}
    files |= {name.format(number): make(number) for number in range(images)}
    return read_source(source(at, files), ReadingOptions())


def ignored(reading: Reading) -> dict[str, int]:
    return {each.reason: each.count for each in reading.ignored}


def superannotate(number: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{number}.jpg", "status": "Completed"},
        "instances": [{"type": "tag", "className": animal(number), "probability": 100}],
        "tags": ["checked"],
        "comments": [],
    }


@pytest.mark.parametrize("name", ["{}.jpg.json", "{}.json"])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: {"label": animal(n), "annotator": "ann"},
        lambda n: {"image_size": [3, 4], "Class Name": animal(n)},
        lambda n: {"labels": [animal(n)]},
        superannotate,
    ],
)
def test_the_label_in_a_json_beside_each_image_is_read_to_the_last(
    tmp_path: Path, name: str, make: Any
) -> None:
    found = beside(tmp_path, name, make)
    assert not found.doubts
    assert not found.rejections
    assert dict(found.labels) == {f"{n}.jpg": (animal(n),) for n in range(24)}


@pytest.mark.parametrize("name", ["{}.jpg.json", "{}.json"])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: {"label": animal(n), "confidence": 0.9},
        lambda n: {"label": animal(n), "verified": n > 3},
        lambda n: {"category": "pixiv", "tags": ["a", "b"], "id": f"x{n}"},
        lambda n: {"species": animal(n), "breed": "x"},
        lambda n: {"width": 3},
    ],
)
def test_what_may_be_something_else_is_named_with_the_remedy(
    tmp_path: Path, name: str, make: Any
) -> None:
    found = beside(tmp_path, name, make)
    assert not found.labels
    assert sum(ignored(found).values()) == 24
    assert SIDECAR not in ignored(found)
    assert any("write a CSV with the columns file,labels" in reason for reason in ignored(found))


@pytest.mark.parametrize("name", ["{}.jpg.json", "{}.jpg.supplemental-metadata.json"])
def test_google_takeout_is_recognised_by_its_content(tmp_path: Path, name: str) -> None:
    found = beside(tmp_path, name, lambda n: TAKEOUT)
    assert not found.labels
    assert ignored(found) == {SIDECAR: 24}


def test_shapes_of_superannotate_are_detection(tmp_path: Path) -> None:
    shape = {"instances": [{"type": "bbox", "className": "cat", "points": {"x1": 1}}]}
    (doubt,) = beside(tmp_path, "{}.jpg.json", lambda n: superannotate(n) | shape).doubts
    assert "SuperAnnotate's instances, detection" in doubt.question


def test_a_state_of_superannotate_is_reported(tmp_path: Path) -> None:
    state = {"name": "0.jpg", "status": "InProgress"}
    found = beside(tmp_path, "{}.jpg.json", lambda n: superannotate(n) | {"metadata": state}, 1)
    assert "InProgress" in found.layout


def packed(at: Path, kind: str, members: dict[str, str]) -> Path:
    path = at / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, held in members.items():
                archive.writestr(name, held)
        return path
    with tarfile.open(path, "w") as tar:
        for name, held in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(held)
            tar.addfile(info, io.BytesIO(held.encode()))
    return path


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_the_classes_of_webdataset_are_labels_and_no_images(tmp_path: Path, kind: str) -> None:
    members: dict[str, str] = {}
    for number in range(24):
        members[f"{number:06}.jpg"] = "x"
        members[f"{number:06}.cls"] = f"{number % 3}\n"
        members[f"{number:06}.json"] = json.dumps({"label": "said otherwise"})
    found = read_source(packed(tmp_path, kind, members), ReadingOptions())
    assert (len(found.names), found.doubts) == (24, ())
    assert sorted(set(found.labels.values())) == [("0",), ("1",), ("2",)]
    assert len(found.labels) == 24
    assert "by number" in found.layout


def test_words_are_classes_of_webdataset_too_and_lines_are_none(tmp_path: Path) -> None:
    found = beside(tmp_path, "{}.cls", lambda n: "two\nlines" if n == 5 else animal(n))
    assert len(found.labels) == 23
    assert [each.count for each in found.ignored if "hold no class" in each.reason] == [1]


@pytest.mark.parametrize(
    "name", ["labels.npy", "labels.pkl", "imagelabels.mat", "x/cars_annos.mat", "y_train.npz"]
)
def test_labels_in_a_form_of_a_program_are_a_question(tmp_path: Path, name: str) -> None:
    path = source(tmp_path, {"a.jpg": b"x", "b.jpg": b"x", name: b"\x93NUMPY"})
    (doubt,) = read_source(path, ReadingOptions()).doubts
    assert name in doubt.question
    assert "write a CSV with the columns file,labels" in doubt.question
    (option,) = dict(doubt.answers)
    assert option == "--labels-from none"
    assert not read_source(path, ReadingOptions(labels_from="none")).doubts


@pytest.mark.parametrize(
    "name", ["features.npy", "label_encoder.pkl", "label_names.mat", "setid.mat", "model.pkl"]
)
def test_other_data_of_programs_is_passed_over(tmp_path: Path, name: str) -> None:
    found = read_source(source(tmp_path, {"a.jpg": b"x", name: b"\x93NUMPY"}), ReadingOptions())
    assert (found.doubts, sum(ignored(found).values())) == ((), 1)


@pytest.mark.parametrize(
    "labels",
    [{"cat/a.jpg": b"x", "dog/b.jpg": b"x"}, {"a.jpg": b"x", "x.csv": "file,label\na.jpg,cat\n"}],
)
def test_beside_other_labels_they_are_named(tmp_path: Path, labels: Any) -> None:
    found = read_source(source(tmp_path, {**labels, "labels.npy": b"\x93NUMPY"}), ReadingOptions())
    assert (found.doubts, bool(found.labels)) == ((), True)
    assert any("NumPy" in reason for reason in ignored(found))


# --- beside lists ------------------------------------------------------------------------------


def with_list(at: Path, name: str, make: Any, lines: int = 24, **options: Any) -> Reading:
    """A reading of images with a file beside each, and a table of ``lines`` of them."""
    files: dict[str, Any] = {f"{number}.jpg": b"x" for number in range(24)}
    files |= {name.format(number): make(number) for number in range(24)}
    table = "".join(f"{number}.jpg,{animal(number)}\n" for number in range(lines))
    return read_source(
        source(at, files | {"x.csv": f"file,label\n{table}"}), ReadingOptions(**options)
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [("{}.cls", lambda n: str(n % 2)), ("{}.jpg.json", lambda n: {"label": animal(n)})],
)
def test_a_list_that_says_the_same_goes_first(tmp_path: Path, name: str, make: Any) -> None:
    found = with_list(tmp_path, name, make)
    assert (list(found.doubts), found.labels["3.jpg"]) == ([], ("dog",))
    assert ignored(found)[BEHIND_A_LIST] == 24


@pytest.mark.parametrize(
    ("make", "lines"), [(lambda n: str(n // 2 % 2), 24), (lambda n: str(n % 2), 12)]
)
def test_a_list_that_says_otherwise_or_less_is_asked_about(
    tmp_path: Path, make: Any, lines: int
) -> None:
    (doubt,) = with_list(tmp_path, "{}.cls", make, lines).doubts
    assert list(dict(doubt.answers)) == ["--labels-from x.csv", "--labels-from none"]
    reported = with_list(tmp_path, "{}.cls", make, lines, labels_from="x.csv")
    assert (list(reported.doubts), len(reported.labels)) == ([], lines)


def test_a_list_of_splits_leaves_them_the_labels(tmp_path: Path) -> None:
    found = beside(tmp_path, "{}.cls", lambda n: str(n % 2))
    assert not found.doubts
    splits = {"train": [f"{n}.jpg" for n in range(20)], "test": [f"{n}.jpg" for n in range(20, 24)]}
    found = read_source(source(tmp_path, {"splits.json": splits}), ReadingOptions())
    assert (list(found.doubts), len(found.labels), found.splits["23.jpg"]) == ([], 24, "test")


def test_a_class_of_latex_is_no_list(tmp_path: Path) -> None:
    latex = "\\NeedsTeXFormat{LaTeX2e}\n\\ProvidesClass{paper}\n\\LoadClass[a4]{article}, a.jpg\n"
    found = read_source(source(tmp_path, {"a.jpg": b"x", "paper.cls": latex}), ReadingOptions())
    assert (list(found.doubts), dict(found.labels)) == ([], {})


# --- VGG Image Annotator's CSV ----------------------------------------------------------------

VIA = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\n"
)


def via(attributes: Any, shape: str = "{}", mark: str = "") -> str:
    rows = [
        f'{n}.jpg,{n},"{json.dumps(attributes(n)).replace(chr(34), chr(34) * 2)}",0,0,"{shape}","{{}}"\n'
        for n in range(6)
    ]
    return mark + VIA + "".join(rows)


def read_via(at: Path, text: str, **options: Any) -> Reading:
    images: dict[str, Any] = {f"{n}.jpg": b"x" for n in range(6)}
    return read_source(source(at, images | {"via_export_csv.csv": text}), ReadingOptions(**options))


@pytest.mark.parametrize("mark", ["", "#"])
def test_the_attribute_in_the_cells_of_via_is_the_label(tmp_path: Path, mark: str) -> None:
    found = read_via(
        tmp_path, via(lambda n: {"species": animal(n), "caption": f"no {n}"}, mark=mark)
    )
    assert not found.doubts
    assert found.labels["3.jpg"] == ("dog",)


def test_of_several_attributes_the_offered_option_decides(tmp_path: Path) -> None:
    text = via(lambda n: {"species": animal(n), "seen": {"wild": True, "zoo": n > 3}})
    (doubt,) = read_via(tmp_path, text).doubts
    (first, shown), *_ = doubt.answers
    assert (first, shown) == ("--columns filename,1", "species: cat (3), dog (3)")
    found = read_via(tmp_path, text, columns=("filename", "1"))
    assert (found.doubts, found.labels["0.jpg"]) == ((), ("cat",))


def test_regions_in_the_cells_of_via_are_detection(tmp_path: Path) -> None:
    text = via(lambda n: {"species": animal(n)}, shape='{""name"":""rect""}')
    (doubt,) = read_via(tmp_path, text).doubts
    assert "regions, detection" in doubt.question
