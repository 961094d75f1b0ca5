"""Which images staging is asked for, and how its answers are compared."""

from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.line import MODEL_VERSIONS
from imgclf_dagster.checks import staging
from imgclf_dagster.checks.staging import (
    PROBES,
    Probe,
    _answer_times,
    _of_each_version,
    _probes,
    _same_labels,
)
from object_store.contents.damage import DamagedObject

pytestmark = pytest.mark.unit


class Store:
    """Its shards are texts; notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self.asked.append((key, offset, length))
        return f"{key}:{offset}:{length}".encode()


def evaluated(monkeypatch: pytest.MonkeyPatch, store: Store, splits: list[str]) -> None:
    """Image n was predicted ``label-n`` and is of this split; the manifest has another order."""

    def newest_evaluation(given: Any, version: str) -> dict[str, str] | None:
        assert given is store
        known = {"train-1": {"job": "job-7", "dataset_version": "d1"}}
        return known.get(version)

    def read_rows(given: Any, key: str, schema: pa.Schema) -> pa.Table:
        assert given is store
        assert key == "models/job-7/processing/predictions.parquet"
        rows = [
            {"sha256": f"s{n}", "split": split, "predicted": [f"label-{n}"]}
            for n, split in enumerate(splits)
        ]
        assert schema.names == ["sha256", "split", "predicted"]
        return pa.Table.from_pylist(rows, schema=schema)

    def read_manifest(given: Any, version: str) -> pa.Table:
        assert (given, version) == (store, "d1")
        rows = [
            {"sha256": f"s{n}", "shard": f"shards/{n}.tar", "offset": n * 10, "length": n + 1}
            for n in reversed(range(len(splits)))
        ]
        return pa.Table.from_pylist(rows)

    monkeypatch.setattr(staging, "newest_evaluation", newest_evaluation)
    monkeypatch.setattr(staging, "read_rows", read_rows)
    monkeypatch.setattr(staging, "read_dataset_manifest", read_manifest)


def test_test_images_come_out_of_the_data_set_with_what_was_predicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store: Any = Store()
    evaluated(monkeypatch, store, ["train", "test", "val", "test"])
    assert list(_probes(store, "train-1")) == [
        Probe(b"datasets/shards/1.tar:10:2", ["label-1"]),
        Probe(b"datasets/shards/3.tar:30:4", ["label-3"]),
    ]
    assert store.asked == [("datasets/shards/1.tar", 10, 2), ("datasets/shards/3.tar", 30, 4)]
    assert list(_probes(store, "train-2")) == [], "it was never evaluated"


def test_so_many_of_them_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = Store()
    evaluated(monkeypatch, store, ["test"] * (PROBES + 3))
    found = [probe.predicted for probe in _probes(store, "train-1")]
    assert found == [[f"label-{n}"] for n in range(PROBES)]


def test_labels_are_compared_whatever_their_order() -> None:
    def answer(*labels: str) -> dict[str, Any]:
        return {"predictions": [{"predicted": list(labels)}]}

    assert _same_labels(answer("a", "b"), ["b", "a"])
    assert not _same_labels(answer("a"), ["a", "b"])
    assert not _same_labels(answer("a", "b"), ["a"])
    assert _same_labels(answer(), [])


def test_answers_are_timed_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]

    class Endpoints:
        asked: list[tuple[str, bytes, str]]

        def __init__(self) -> None:
            self.asked = []

        def invoke(self, *asked: Any) -> None:
            self.asked.append(asked)
            now[0] += 0.25 if asked[0] == "staging" else 0.5

    monkeypatch.setattr(staging.time, "perf_counter", lambda: now[0])
    endpoints: Any = Endpoints()
    found = _answer_times(endpoints, [b"1", b"2"], ("staging", "prod"))
    assert found == {"staging": [250.0, 250.0], "prod": [500.0, 500.0]}
    assert endpoints.asked[:2] == [
        ("staging", b"1", "application/x-image"),
        ("prod", b"1", "application/x-image"),
    ]


def test_production_that_cannot_be_known_is_nothing_to_compare_with() -> None:
    class Endpoints:
        def current(self, stage: str) -> Any:
            assert stage == "prod"
            raise DamagedObject("k", "cut", "file:///s")

    endpoints: Any = Endpoints()
    store: Any = None
    assert staging._champion_before(store, endpoints, "d" * 64) is None


def test_a_check_of_staging_is_of_each_version_blocks_and_fails_closed() -> None:
    def a_check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        raise DamagedObject("k", "cut", "file:///s")

    found = _of_each_version("Asks staging.")(a_check)
    (spec,) = found.check_specs
    assert spec.description == "Asks staging."
    assert (spec.name, spec.asset_key) == ("a_check", dg.AssetKey("staging_endpoint"))
    assert spec.blocking
    assert found.partitions_def == MODEL_VERSIONS
    for known in (staging.staging_serves_digest, staging.staging_latency_within_budget):
        assert [one.blocking for one in known.check_specs] == [True]
