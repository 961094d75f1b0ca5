"""An ingest into a bucket: many at once, to be repeated at will, and as right as into a folder."""

import io
from pathlib import Path

import pytest
from PIL import Image

from assets.policies import IngestionPolicy
from imgclf_dagster.ingest.ingest import IngestReport, ingest
from labelling.labels.schema import LabelSchema
from labelling.sources.read import read_source
from object_store.store import ObjectStore
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract


@pytest.fixture
def store(aws_environment: TestBed) -> ObjectStore:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/line")
    store.ensure()
    return store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(40):
        path = tmp_path / "set" / ("cat", "dog")[number % 2] / f"ü {number}+.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = io.BytesIO()
        Image.new("RGB", (8, 8), (number * 6, 0, number % 2 * 200)).save(sink, "PNG")
        path.write_bytes(sink.getvalue())
    (tmp_path / "set" / "cat" / "broken.png").write_bytes(b"no image")
    return tmp_path / "set"


def take(source: Path, store: ObjectStore, progress: list[tuple[int, int]]) -> IngestReport:
    return ingest(
        read_source(source),
        store=store,
        policy=IngestionPolicy(),
        schema=LabelSchema(),
        on_progress=lambda *at: progress.append(at),
    )


def test_images_and_labels_come_in_once(
    store: ObjectStore, source: Path, aws_environment: TestBed
) -> None:
    messages: list[tuple[int, int]] = []
    aws_environment.fault("PutObject", "throttle", times=3)
    aws_environment.fault("PutObject", "lost", times=2)
    first = take(source, store, messages)
    assert (first.new, first.known, first.labelled) == (40, 0, 40)
    assert [name for name, _ in first.rejected] == ["cat/broken.png"]
    assert messages == [(done, 41) for done in range(1, 42)]
    reads = len(aws_environment.calls("GetObject"))
    again = take(source, store, messages)
    assert (again.new, again.known, again.labelled) == (0, 40, 0)
    assert len(aws_environment.calls("GetObject")) - reads <= 1, "etags tell that all is there"
    assert len(store.list("raw/set")) == len(store.list("annotations")) == 40


def test_what_is_left_is_done_and_nothing_is_rewritten(store: ObjectStore, source: Path) -> None:
    taken = "raw/set/cat/ü 0+.png"
    store.put(taken, b"other")
    for number in (2, 4):
        name = f"cat/ü {number}+.png"
        store.put(f"raw/set/{name}", source / name)
    report = take(source, store, [])
    assert (report.new, report.known, report.labelled) == (38, 2, 40)
    assert store.get(taken) == b"other"
    (beside,) = [info.key for info in store.list("raw/set/cat") if info.key.count("-")]
    assert store.get(beside) == (source / "cat" / "ü 0+.png").read_bytes()
