"""A second ingest that changes labels says which became which, and how to take it back."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app
from tests.unit.imgclf_dagster.ingest.ingest_of_tests import Ingest, ingest

__all__ = ["ingest"]

pytestmark = pytest.mark.unit


def counts_now() -> dict[str, int]:
    done = CliRunner().invoke(app, ["labels", "--json"], catch_exceptions=False)
    return {one["label"]: one["images"] for one in json.loads(done.stdout)["classes"]}


def test_one_class_for_everything(ingest: Ingest) -> None:
    ingest.lay("cat", count=4)
    ingest.lay("dog", count=1)
    assert ingest() == 0
    assert "changed" not in ingest.out
    assert ingest("--as-class", "bird") == 0
    assert "changed: 5 images have other labels than an earlier ingest gave" in ingest.words
    assert "cat → bird: 4 (cat/001.png, cat/002.png, cat/003.png …)" in ingest.words
    assert "dog → bird: 1 (dog/005.png)" in ingest.words
    command = "labels withdraw --source photos --class bird"
    assert f"(earlier labels count again): imgclf {command}" in ingest.words
    done = CliRunner().invoke(app, [*shlex.split(command), "--yes"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert counts_now() == {"bird": 0, "cat": 4, "dog": 1}
    assert ingest("--as-class", "bird", "--json") == 0
    assert [one["images"] for one in ingest.facts["changed"]] == [4, 1]  # cats and dogs once more


def test_some_of_a_class(ingest: Ingest) -> None:
    ingest.lay("cat", "dog", count=3)
    assert ingest() == 0
    (ingest.source / "cat/001.png").rename(ingest.source / "dog/001.png")
    assert ingest() == 0
    assert "changed: 1 image has another label than an earlier ingest gave" in ingest.words
    assert "cat → dog: 1 (dog/001.png)" in ingest.words
    assert "ingest the source again with its former labels" in ingest.words
    assert "labels withdraw" not in ingest.words  # it would take the other dogs, too
    assert ingest("--json") == 0
    assert ingest.facts["changed"] == []


def test_what_only_has_another_name_is_not_changed(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    assert ingest() == 0
    args = ["labels", "rename", "cat", "kitten", "--yes"]
    assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
    (ingest.source / "cat").rename(ingest.source / "kitten")
    assert ingest("--yes", "--json") == 0
    assert ingest.facts["labelled"] == 2
    assert ingest.facts["changed"] == []


def test_classes_and_changes_are_reported_by_the_names_that_count(ingest: Ingest) -> None:
    ingest.lay("fine", "good", "bad", count=2)
    assert ingest("--yes") == 0
    args = ["labels", "merge", "fine", "--into", "good", "--yes"]
    assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
    assert ingest("--yes", "--json") == 0
    assert ingest.facts["classes"] == {"bad": 2, "good": 4}
    assert ingest("--as-class", "junk", "--json") == 0
    text = {str(one["old"]): one["images"] for one in ingest.facts["changed"]}
    assert text == {"[['good']]": 4, "[['bad']]": 2}
    assert ingest.facts["changed"][0]["new"] == [["junk"]]
    assert len(ingest.facts["changed"][0]["examples"]) == 3


def test_contradictions_that_end(ingest: Ingest) -> None:
    ingest.lay("cat", "dog")
    copy = ingest.source / "dog/copy.png"
    copy.write_bytes((ingest.source / "cat/001.png").read_bytes())
    assert ingest() == 0
    assert "changed" not in ingest.out
    copy.unlink()
    assert ingest() == 0
    assert "cat and dog → cat: 1 (cat/001.png)" in ingest.words


def test_files_of_the_same_bytes_count_once(ingest: Ingest) -> None:
    ingest.lay("train/cat", "train/dog", "test", count=3)
    for name, copied in (("test/cat/a.png", "train/cat/001.png"), ("test/b.png", "test/007.png")):
        (ingest.source / name).parent.mkdir(exist_ok=True)
        (ingest.source / name).write_bytes((ingest.source / copied).read_bytes())
    assert ingest("--yes") == 0
    assert "classes: cat (3), dog (3)" in ingest.out
    assert "9 images: 2 files are byte-identical copies of others" in ingest.out
    assert ingest("--yes", "--json") == 0
    assert (ingest.facts["images"], ingest.facts["unlabelled"]) == (9, 3)
    assert (ingest.facts["new"], ingest.facts["known"]) == (0, 11)
