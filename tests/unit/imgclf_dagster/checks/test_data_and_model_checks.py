"""What the checks of data and of a candidate look at; the checks themselves run in ``tests/graph``."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

import training.artefact.artefact
import training.artefact.predictor
from assets.model.export_difference import ExportDifference
from imgclf_dagster.checks import dataset as dataset_checks
from imgclf_dagster.checks.model import GATES, export_difference, gate_checks
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore
from training.artefact.checked_export import CheckedBody, ExportCheck
from training.artefact.evidence import write_evidence
from training.errors import ArtefactError

pytestmark = pytest.mark.unit

KEY = "models/train-1/output/model.tar.gz"
BODY = CheckedBody(body="b", images=256, difference=0.0, model_version="train-0")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


@pytest.fixture
def evidence(tmp_path: Path) -> bytes:
    """Two images, to which torch answered (0.25, 0.75) and (0.5, 0.5)."""
    path = tmp_path / "evidence.npz"
    images = [np.zeros((2, 2, 3), np.uint8), np.ones((3, 2, 3), np.uint8)]
    write_evidence(path, images, np.asarray([[0.25, 0.75], [0.5, 0.5]], np.float32))
    return path.read_bytes()


def test_the_export_is_compared_on_the_images_of_the_training(
    store: ObjectStore, evidence: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(KEY, b"archive")
    seen: list[Path] = []

    def unpack(data: bytes, folder: Path) -> Path:
        assert data == b"archive"
        assert folder.parent.name.startswith("imgclf-")
        seen.append(folder)
        return folder

    class Predictor:
        manifest = SimpleNamespace(precision="fp32")

        def __init__(self, folder: Path) -> None:
            seen.append(folder)

        def predict_images(self, images: Any) -> np.ndarray:
            assert [image.shape for image in images] == [(2, 2, 3), (3, 2, 3)]
            return np.asarray([[0.5, 0.5], [0.0, 1.0]], np.float32)

    monkeypatch.setattr(training.artefact.artefact, "unpack", unpack)
    monkeypatch.setattr(training.artefact.predictor, "OnnxPredictor", Predictor)
    outputs = {"export_check.npz": evidence}
    found = export_difference(store, KEY, outputs)
    assert found == ExportDifference(0.5, 2, 0.5, "fp32")
    by_job = ExportCheck(difference=0.6, images=16, features=256, body=BODY)
    outputs["export_check.json"] = by_job.model_dump_json().encode()
    found = export_difference(store, KEY, outputs)
    assert found == ExportDifference(0.6, 256, 0.5, "fp32")
    assert found.largest == 0.6
    Predictor.manifest.precision = "bf16"
    assert export_difference(store, KEY, outputs).precision == "bf16"
    assert seen[0] == seen[1]
    assert seen[0].name == "model"


@pytest.mark.parametrize(
    ("exported", "served", "precision", "within"),
    [
        (1e-3, 1e-3, "fp32", True),
        (1e-3, 2e-3, "fp32", False),
        (2e-3, 0.0, "fp32", False),
        (float("nan"), 0.0, "fp32", False),
        (0.0, float("nan"), "fp32", False),
        (1e-3, 0.25, "bf16", True),
        (1e-3, 0.26, "bf16", False),
        (2e-3, 0.1, "bf16", False),
        (1e-3, 0.35, "int8", True),
        (1e-3, float("nan"), "int8", False),
    ],
)
def test_each_precision_has_a_bound_of_its_own(
    *, exported: float, served: float, precision: Any, within: bool
) -> None:
    found = ExportDifference(exported, 256, served, precision)
    assert found.within(1e-3) == within
    assert "on 256 images" in found.text(1e-3)
    assert ("served in" in found.text(1e-3)) == (precision != "fp32")


def _changed(evidence: bytes) -> bytes:
    """One of the compressed arrays begins with another byte."""
    at = evidence.index(b"probabilities.npy") + len(b"probabilities.npy") + 20  # extra field
    return evidence[:at] + bytes(byte ^ 0xFF for byte in evidence[at : at + 8]) + evidence[at + 8 :]


def _single_array(_: bytes) -> bytes:
    data = io.BytesIO()
    np.save(data, np.zeros(3))
    return data.getvalue()


@pytest.mark.parametrize(
    "damaged",
    [lambda data: b"", lambda data: data[:10], lambda data: data[:-30], _changed, _single_array],
    ids=["empty", "cut", "without its end", "changed", "a single array"],
)
def test_evidence_that_cannot_be_read_is_damage_of_the_job_s_output(
    store: ObjectStore, evidence: bytes, damaged: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(DamagedObject) as raised:
        export_difference(store, KEY, {"export_check.npz": damaged(evidence)})
    assert raised.value.key == "models/train-1/output/output.tar.gz"
    assert raised.value.flaw.startswith("its evidence: ")
    assert store.url in str(raised.value)


def test_a_damaged_artefact_is_named_by_its_key(
    store: ObjectStore, evidence: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(KEY, b"archive")

    def unpack(data: bytes, folder: Path) -> Path:
        raise ArtefactError("cut")

    monkeypatch.setattr(training.artefact.artefact, "unpack", unpack)
    with pytest.raises(DamagedObject) as raised:
        export_difference(store, KEY, {"export_check.npz": evidence})
    assert (raised.value.key, raised.value.flaw) == (KEY, "cut")
    assert store.url in str(raised.value)


def test_there_is_a_blocking_check_for_each_gate() -> None:
    specs = [spec for check in gate_checks() for spec in check.check_specs]
    assert {spec.name: spec.description for spec in specs} == GATES
    assert len(specs) == len(GATES) == 3
    for spec in specs:
        assert spec.asset_key == dg.AssetKey("evaluation_report")
        assert spec.blocking


def test_hashes_are_joined_to_the_images_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    indexed = pa.table({"sha256": ["a", "b", "z"], "phash": [1, 2, 9], "key": ["x", "y", "w"]})
    store: Any = object()

    def images_table(given: Any) -> Any:
        assert given is store
        return SimpleNamespace(read=lambda: "rows")

    monkeypatch.setattr(dataset_checks, "images_table", images_table)
    monkeypatch.setattr(
        dataset_checks, "usable_images", lambda rows: indexed if rows == "rows" else None
    )
    manifest = pa.table(
        {"sha256": ["a", "b", "gone"], "split": ["train", "test", "val"], "labels": [[], [], []]}
    )
    found = dataset_checks._with_hashes(store, manifest)
    assert sorted(found.column_names) == ["key", "phash", "sha256", "split"]
    rows = found.select(["sha256", "split", "phash"]).sort_by("sha256").to_pylist()
    assert rows == [
        {"sha256": "a", "split": "train", "phash": 1},
        {"sha256": "b", "split": "test", "phash": 2},
    ]


def test_the_newest_data_set_is_the_one_of_the_newest_materialization(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store: Any = object()
    instance = dg.DagsterInstance.ephemeral()
    context: Any = SimpleNamespace(instance=instance)
    monkeypatch.setattr(dataset_checks, "read_dataset_manifest", lambda *given: given)
    assert dataset_checks.newest_data_set(context, store) == ("", None)
    other = dg.AssetMaterialization("other", metadata={"dataset_version": "x"})
    instance.report_runless_asset_event(other)
    assert dataset_checks.newest_data_set(context, store) == ("", None)
    event = dg.AssetMaterialization("dataset", metadata={"dataset_version": "d1"})
    instance.report_runless_asset_event(event)
    assert dataset_checks.newest_data_set(context, store) == ("d1", (store, "d1"))
