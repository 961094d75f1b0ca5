"""What an ingest tells after classes were renamed: the names that count, and what is read as what."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from assets.annotations.label_changes import all_rows, next_number, now_after, write_event
from assets.annotations.label_index import view_of
from assets.policies import IngestionPolicy
from imgclf_dagster.cli.ingest.summary import as_json, show_report
from imgclf_dagster.ingest.ingest import IngestReport, ingest
from imgclf_dagster.ingest.readings import ReadAs
from labelling.labels.events import Rename, Withdrawal
from labelling.labels.known_classes import KnownClasses
from labelling.labels.schema import LabelSchema
from labelling.sources.findings.facts import source_facts
from labelling.sources.read import read_source
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

SCHEMA = LabelSchema()
FOLDERS = {"red": 0, "blue": 3, "green": 6}


def png(number: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


Take = Callable[[dict[str, int]], IngestReport]


@pytest.fixture
def take(tmp_path: Path, store: ObjectStore) -> Take:
    """Ingests a folder ``set`` with two images in each folder, from a number on."""

    def run(folders: dict[str, int]) -> IngestReport:
        for old in [*(tmp_path / "set").glob("*/*")]:
            old.unlink()
        for label, first in folders.items():
            (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
            for number in (first, first + 1):
                (tmp_path / "set" / label / f"{number}.png").write_bytes(png(number))
        known = KnownClasses(frozenset(folders))
        reading = read_source(tmp_path / "set", known=known)
        return ingest(reading, store=store, policy=IngestionPolicy(), schema=SCHEMA)

    return run


def decide(store: ObjectStore, kind: Any, **what: Any) -> None:
    table = all_rows(store)
    write_event(store, kind(at=now_after(table), by="me", number=next_number(table), **what))


def rename(store: ObjectStore, *pairs: tuple[str, str]) -> None:
    for old, new in pairs:
        decide(store, Rename, old=(old,), new=new)


def counts(store: ObjectStore) -> dict[str, int]:
    given = [one for (one,) in view_of(all_rows(store), SCHEMA).labels.values()]
    return {label: given.count(label) for label in sorted(set(given))}


def printed(report: IngestReport) -> str:
    console = Console(file=io.StringIO(), width=500, highlight=False)
    show_report(console, report, "imgclf run", "set")
    return console.file.getvalue()


def test_the_summary_has_the_names_that_count(take: Take, store: ObjectStore) -> None:
    take(FOLDERS)
    rename(store, ("red", "crimson"), ("green", "blue"))
    for _ in range(2):
        report = take(FOLDERS)
        assert dict(report.classes) == {"crimson": 2, "blue": 4} == counts(store)
    output = printed(report)
    assert "classes: blue (4), crimson (2)\n" in output
    assert "read as: green as blue: 2; red as crimson: 2\n" in output
    assert "two meanings" not in output


def test_without_a_rename_nothing_is_read_as_anything(take: Take) -> None:
    report = take(FOLDERS)
    assert (dict(report.classes), report.read_as) == ({"red": 2, "blue": 2, "green": 2}, [])
    assert "read as" not in printed(report)


def test_files_of_one_class_now_are_no_contradiction(take: Take, store: ObjectStore) -> None:
    take(FOLDERS)
    rename(store, ("green", "blue"))
    report = take({"blue": 3, "green": 3})
    assert (dict(report.classes), report.doubled) == ({"blue": 2}, 2)
    assert report.contradictions == 0


def test_changes_are_reported_by_the_names_that_count(take: Take, store: ObjectStore) -> None:
    take({"OK": 0, "NOK": 3})
    rename(store, ("OK", "ok"), ("NOK", "nok"))
    report = take({"OK": 3})
    (change,) = report.changed
    assert (change.old, change.new, change.images) == ((("nok",),), (("ok",),), 2)
    output = printed(report)
    assert "nok → ok: 2" in output
    assert "imgclf labels withdraw --source set --class ok" in output


def test_a_folder_that_means_two_things_is_reported(take: Take, store: ObjectStore) -> None:
    take(FOLDERS)
    rename(store, ("red", "tmp"), ("blue", "red"), ("tmp", "blue"))
    decide(store, Withdrawal, source="set", label="blue")  # of the folder red
    report = take(FOLDERS)
    assert report.labelled == 2
    assert dict(report.classes) == {"red": 4, "green": 2} == counts(store)
    assert report.read_as == [ReadAs("blue", "red", 2, "blue")]
    output = printed(report)
    assert "two meanings: blue as red (2 images) was used before the name was given" in output
    assert "used now, blue is blue" in output
    facts = source_facts(read_source(store.root / "raw/set"))
    read = json.loads(as_json(facts, [], report, ""))["read_as"]
    assert read == [{"label": "blue", "counts": "red", "images": 2, "now": "blue"}]
    # The remedy that is told.
    decide(store, Withdrawal, source="set")
    report = take(FOLDERS)
    assert dict(report.classes) == {"red": 2, "blue": 2, "green": 2} == counts(store)
    assert report.read_as == []


def test_new_images_of_a_folder_whose_name_has_another_meaning_now(
    take: Take, store: ObjectStore
) -> None:
    take({"red": 0, "blue": 3})
    rename(store, ("red", "tmp"), ("blue", "red"), ("tmp", "blue"))
    report = take({"red": 1, "blue": 4})  # one image of each is known, one is new
    assert [(one.label, one.counts, one.images) for one in report.read_as] == [
        ("blue", "blue", 1),
        ("blue", "red", 1),
        ("red", "blue", 1),
        ("red", "red", 1),
    ]
    assert dict(report.classes) == {"red": 2, "blue": 2}
    assert "two meanings: blue as red (1 image), red as blue (1 image)" in printed(report)
