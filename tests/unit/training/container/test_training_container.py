"""The container's view: both of SageMaker's layouts, moved by one variable."""

import json
from pathlib import Path

import pytest

from training.container.container import JobContainer
from training.errors import PermanentFailure

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_ML_ROOT", str(tmp_path))


def _training(root: Path, text: str) -> None:
    (root / "input" / "config").mkdir(parents=True)
    (root / "input" / "config" / "hyperparameters.json").write_text(text)


def test_training_layout(tmp_path: Path) -> None:
    _training(tmp_path, json.dumps({"epochs": "3"}))
    (tmp_path / "input" / "data" / "dataset").mkdir(parents=True)
    container = JobContainer.from_environment()
    assert (container.kind, container.hyperparameters) == ("training", {"epochs": "3"})
    assert container.channel("dataset") == tmp_path / "input" / "data" / "dataset"
    assert container.output_dir == tmp_path / "output" / "data"
    assert container.output_dir.is_dir()


def test_processing_layout(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "processingjobconfig.json").write_text("{}")
    (tmp_path / "processing" / "input" / "model").mkdir(parents=True)
    container = JobContainer.from_environment(["--dataset_version", "--odd", "--top", "3"])
    assert container.kind == "processing"
    assert container.hyperparameters == {"dataset_version": "--odd", "top": "3"}
    assert container.channel("model") == tmp_path / "processing" / "input" / "model"
    assert container.output_dir == tmp_path / "processing" / "output"


@pytest.mark.parametrize("whole_keys", ["", "line/datasets"])
def test_a_channel_is_found_however_sagemaker_lays_out_a_manifest(
    tmp_path: Path, whole_keys: str
) -> None:
    _training(tmp_path, "{}")
    channel = tmp_path / "input" / "data" / "dataset"
    content = channel / whole_keys
    for file in ("v1/card.json", "v1/manifest.parquet", "shards/0/a.tar"):
        (content / file).parent.mkdir(parents=True, exist_ok=True)
        (content / file).touch()
    container = JobContainer.from_environment()
    assert container.channel("dataset", "v1/card.json") == content
    assert container.optional_channel("dataset", "*/manifest.parquet") == content
    assert container.channel("dataset", "v2/card.json") == channel
    assert container.optional_channel("weights", "*.pth") is None


def test_a_missing_channel_is_named_with_those_given(tmp_path: Path) -> None:
    _training(tmp_path, "{}")
    (tmp_path / "input" / "data" / "datasets").mkdir(parents=True)
    container = JobContainer.from_environment()
    assert not container.has_channel("dataset")
    with pytest.raises(PermanentFailure, match=r"no input channel 'dataset'.*given: datasets"):
        container.channel("dataset")


@pytest.mark.parametrize(
    ("text", "expected"), [(None, "is missing"), ("{", "not JSON"), ("[]", "one")]
)
def test_unreadable_hyperparameters(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        _training(tmp_path, text)
    with pytest.raises(PermanentFailure, match=expected):
        JobContainer.from_environment()


def test_a_failure_fits_sagemakers_field(tmp_path: Path) -> None:
    _training(tmp_path, "{}")
    JobContainer.from_environment().write_failure("é" * 5000)
    assert len((tmp_path / "output" / "failure").read_text(encoding="utf-8")) == 1024


def test_a_processing_jobs_failure_is_its_exit_message(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "processingjobconfig.json").write_text("{}", encoding="utf-8")
    JobContainer.from_environment([]).write_failure("why")
    for name in ("failure", "message"):
        assert (tmp_path / "output" / name).read_text(encoding="utf-8") == "why"
