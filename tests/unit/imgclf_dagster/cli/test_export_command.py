"""Which data set is exported, and what the command says."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app
from imgclf_dagster.export.choice import ChosenDataset, choose_dataset
from imgclf_dagster.export.errors import ExportError
from imgclf_dagster.export.run import export_dataset
from labelling.exports.formats import FORMATS
from object_store.store import ObjectStore
from tests.unit.imgclf_dagster.export.export_room import (
    Member,
    make_dataset,
    open_store,
    shards_of,
    two_classes,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path / "store")


def made_at(store: ObjectStore, chosen: ChosenDataset, moment: int) -> None:
    assert store.root is not None
    card = store.root / f"datasets/{chosen.version}/card.json"
    os.utime(card, (moment, moment))


def test_the_newest_data_set_is_taken_or_the_one_that_begins_so(store: ObjectStore) -> None:
    old = make_dataset(store, two_classes())
    new = make_dataset(store, two_classes(4))
    made_at(store, old, 1000)
    made_at(store, new, 2000)
    assert choose_dataset(store, "").version == new.version
    assert choose_dataset(store, "", old.version).version == old.version, "the line's own word"
    assert choose_dataset(store, "", "gone").version == new.version
    assert choose_dataset(store, old.version[:6]).version == old.version
    assert choose_dataset(store, old.version.upper()).version == old.version
    with pytest.raises(
        ExportError, match=rf"no data set begins with 'xyz'; there are {new.version}"
    ):
        choose_dataset(store, "xyz")


def test_a_beginning_of_several_is_asked_back(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(17):  # hexadecimal: two begin alike
        make_dataset(store, two_classes(1 + number))
    versions = {key.split("/")[1] for key in (i.key for i in store.list("datasets/"))} - {"shards"}
    first = max("0123456789abcdef", key=lambda d: sum(v.startswith(d) for v in versions))
    with pytest.raises(
        ExportError, match=rf"data sets begin with '{first}': .* UTC\).*give more characters"
    ):
        choose_dataset(store, first)


def test_a_data_set_without_its_card_is_none(store: ObjectStore) -> None:
    chosen = make_dataset(store, two_classes())
    store.delete(f"datasets/{chosen.version}/card.json")
    with pytest.raises(ExportError, match=r"there is no data set.*imgclf ingest.*imgclf run"):
        choose_dataset(store, "")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A home whose store has a data set."""
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    for name in ("IMGCLF_SETTINGS", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    store = open_store(tmp_path / "home/store")
    make_dataset(store, two_classes())
    return store


def test_the_command_says_what_it_wrote_and_how_it_is_read(
    home: ObjectStore, tmp_path: Path
) -> None:
    place = tmp_path / "my set"
    text = CliRunner().invoke(app, ["export", "--format", "folder", "--to", str(place)])
    assert text.exit_code == 0, text.output
    assert "✓ 12 of 12 images of data set" in text.stdout
    assert f'ImageFolder("{place}/train")' in text.stdout
    assert f"imgclf ingest '{place}'" in text.stdout
    again = CliRunner().invoke(app, ["export", "--format", "folder", "--to", str(place)])
    assert again.exit_code == 1
    assert "is not empty" in again.stderr


def test_the_command_ends_with_1_and_names_what_it_lacks(home: ObjectStore, tmp_path: Path) -> None:
    shards_of(home)[0].unlink()
    home.delete("raw/set/dog/1.png")
    facts = ["export", "--format", "coco", "--to", str(tmp_path / "o.zip"), "--json"]
    reported = CliRunner().invoke(app, facts)
    assert reported.exit_code == 1
    report = json.loads(reported.stdout)
    assert (report["written"], report["asked"]) == (11, 12)
    assert [row["image"] for row in report["set_aside"]] == ["raw/set/dog/1.png"]
    assert "1 of 12 images could not be exported" in reported.stderr


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_version_is_refused_before_anything_is_written(
    home: ObjectStore, tmp_path: Path, empty: str
) -> None:
    text = ["export", empty, "--format", "coco", "--to", str(tmp_path / "out")]
    reason = CliRunner().invoke(app, text)
    assert reason.exit_code == 2
    assert "DATASET is empty" in reason.stderr
    assert not (tmp_path / "out").exists()


def test_an_export_is_not_a_picture_viewer(home: ObjectStore, tmp_path: Path) -> None:
    """Nothing is decoded: a file that Pillow cannot read any more goes out as it came in."""
    damaged = Member("set/odd.png", ("cat",), "train", b"not a picture")
    chosen = make_dataset(home, [damaged, *two_classes()])
    export_dataset(chosen, FORMATS["folder"], tmp_path / "o", store=home)
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(tmp_path / "o/train/cat/odd.png")
