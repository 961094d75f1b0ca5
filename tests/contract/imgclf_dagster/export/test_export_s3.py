"""An export out of a bucket: many at once, and as right as out of a folder."""

import threading
from pathlib import Path

import pytest

from imgclf_dagster.export.images import DatasetImages
from imgclf_dagster.export.run import export_dataset
from labelling.exports.formats import FORMATS
from object_store.store import ObjectStore
from tests.testbed.bed import TestBed
from tests.unit.imgclf_dagster.export.export_room import files_in, make_dataset, two_classes

pytestmark = pytest.mark.contract


@pytest.fixture
def store(aws_environment: TestBed) -> ObjectStore:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/line")
    store.ensure()
    return store


def pictures(folder: Path) -> list[bytes]:
    return sorted(data for name, data in files_in(folder).items() if name.endswith(".png"))


def test_images_come_out_once_and_many_at_once(
    store: ObjectStore, aws_environment: TestBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = two_classes(20)
    chosen = make_dataset(store, images)
    together = threading.Barrier(8)
    read = DatasetImages.read

    arrived = iter(range(8))

    def meet(self: DatasetImages, row: dict) -> bytes:
        if next(arrived, None) is not None:
            together.wait()  # passes only if eight are read at once
        return read(self, row)

    monkeypatch.setattr(DatasetImages, "read", meet)
    aws_environment.fault("GetObject", "throttle", times=3)
    before = len(aws_environment.calls("GetObject"))
    report = export_dataset(chosen, FORMATS["folder"], tmp_path / "out", store=store)
    assert (report.written, report.aside, report.mended) == (40, [], [])
    assert pictures(tmp_path / "out") == sorted(image.data for image in images)
    assert len(aws_environment.calls("GetObject")) - before == 40 + 3


def test_a_shard_that_is_gone_is_made_good_out_of_raw(store: ObjectStore, tmp_path: Path) -> None:
    images = two_classes()
    chosen = make_dataset(store, images)
    for info in store.list("datasets/shards"):
        store.delete(info.key)
    store.delete("raw/set/cat/3.png")
    report = export_dataset(chosen, FORMATS["huggingface"], tmp_path / "out", store=store)
    assert [name for name, _ in report.aside] == ["raw/set/cat/3.png"]
    assert len(report.mended) == 1
    assert pictures(tmp_path / "out") == sorted(
        image.data for image in images if image.file != "set/cat/3.png"
    )
