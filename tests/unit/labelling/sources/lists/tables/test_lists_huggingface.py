"""Hugging Face's metadata beside images: labels are read with their names, captions are refused."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.tables.huggingface import classes_of_card, classes_of_schema
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource

pytestmark = pytest.mark.unit

CARD = """---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
---
# Pets
"""
NUMBERED = "file_name,label\na.jpg,0\nb.jpg,1\n"
PETS = {"a.jpg": ("cat",), "b.jpg": ("dog",)}


def lines(*records: dict) -> str:
    return "\n".join(map(json.dumps, records)) + "\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("metadata.csv", "file_name,label\na.jpg,cat\nb.jpg,dog\n"),
        ("metadata.jsonl", lines({"file_name": "a.jpg", "label": "cat"}, {"file_name": "b.jpg", "label": "dog"})),
        ("metadata.jsonl", lines({"file_name": "a.jpg", "label": "cat", "text": "A cat."}, {"file_name": "b.jpg", "label": "dog", "text": "A dog."})),
    ],
)  # fmt: skip
def test_labels_in_metadata(name, data):
    assert ListedSource({name: data}).match().labels == PETS


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("metadata.csv", NUMBERED),
        ("metadata.jsonl", lines({"file_name": "a.jpg", "label": 0}, {"file_name": "b.jpg", "label": 1})),
    ],
)  # fmt: skip
def test_numbers_have_the_names_of_the_card(name, data):
    source = ListedSource({name: data, "README.md": CARD})
    assert source.match().labels == PETS
    assert "names of classes from README.md" in source.read(name).understood


def test_metadata_in_each_split_reads_the_card_at_the_top():
    files = {f"{split}/metadata.csv": NUMBERED for split in ("train", "test")}
    images = tuple(f"{split}/{name}" for split in ("train", "test") for name in ("a.jpg", "b.jpg"))
    labels = ListedSource({**files, "README.md": CARD}, images).match().labels
    assert labels == {image: PETS[image[-5:]] for image in images}


def test_a_data_set_of_hugging_face_as_a_folder(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text(NUMBERED)
    (tmp_path / "README.md").write_text(CARD)
    reading = read_source(tmp_path)
    assert reading.labels == PETS
    assert not reading.doubts


def parquet(columns: dict, features: dict | None = None) -> bytes:
    table = pa.table(columns)
    if features is not None:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_parquet_is_read_with_the_names_in_its_schema():
    columns = {"file_name": ["a.jpg", "b.jpg"], "label": [0, 1]}
    classes = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    data = parquet(columns, classes)
    assert ListedSource({"metadata.parquet": data}).match().labels == PETS
    several = parquet({"file_name": ["a.jpg", "b.jpg"], "labels": [["cat", "dog"], []]})
    options = ReadingOptions(task="multi_label")
    labels = ListedSource({"metadata.parquet": several}, options=options).match().labels
    assert labels == {"a.jpg": ("cat", "dog"), "b.jpg": ()}


def test_parquet_that_is_no_list_is_refused_in_words():
    inside = parquet({"image": [{"bytes": b"x", "path": "a.jpg"}], "label": [0]})
    for data, words in [
        (inside, "holds images itself"),
        (inside[:40] + b"PAR1", "cannot be read as Parquet"),
        (parquet({"one": [1], "two": [2]}), "no column was found that names images"),
        (parquet({"file_name": ["a.jpg"], "text": ["A cat."]}), "texts about the images"),
    ]:
        with pytest.raises(ListRefusedError, match=words):
            ListedSource({"metadata.parquet": data}).read("metadata.parquet")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_captions_are_no_labels(name):
    records = [{"file_name": "a.jpg", "text": "A cat."}, {"file_name": "b.jpg", "text": "A dog."}]
    data = (
        lines(*records)
        if name.endswith("jsonl")
        else "file_name,text\na.jpg,A cat.\nb.jpg,A dog.\n"
    )
    with pytest.raises(ListRefusedError, match="texts about the images"):
        ListedSource({name: data}).read(name)


def test_objects_are_no_labels():
    box = {"bbox": [[1, 2, 3, 4]], "categories": [0]}
    data = lines({"file_name": "a.jpg", "objects": box}, {"file_name": "b.jpg", "objects": box})
    with pytest.raises(ListRefusedError):
        ListedSource({"metadata.jsonl": data}).read("metadata.jsonl")


@pytest.mark.parametrize(
    "card",
    ["", "# no head", "---\n- a list\n---\n", "---\na: [\n---\n", "---\ndataset_info: 3\n---\n",
     "---\ndataset_info:\n  features: {a: b}\n---\n", "---\n&a [*a]\n---\n"],
)  # fmt: skip
def test_a_card_without_names_of_classes_shows_none(card):
    assert classes_of_card(card) == {}


def test_configurations_that_disagree_tell_nothing():
    one, other = ({"features": [{"name": "label", "dtype": {"class_label": {"names": names}}}]}
                  for names in (["cat", "dog"], ["dog", "cat"]))  # fmt: skip
    head = json.dumps({"dataset_info": [one, other]})
    assert classes_of_card(f"---\n{head}\n---\n") == {"label": {}}
    head = json.dumps({"dataset_info": [one, one]})
    assert classes_of_card(f"---\n{head}\n---\n") == {"label": {"0": "cat", "1": "dog"}}


def test_schemas_without_features_tell_nothing():
    for metadata in (None, {}, {b"huggingface": b"{"}, {b"huggingface": b"[]"}):
        assert classes_of_schema(metadata) == {}
