"""Settings of profile aws: what SageMaker would refuse is refused as they are read."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from imgclf_dagster.settings.root import SettingsError, load_settings
from resources.compute.sagemaker.machines import JobResources, TrainingResources

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path))


def test_training_is_spot_and_processing_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_AWS__TRAINING__INSTANCE_TYPE", "ml.g5.xlarge")
    aws = load_settings().aws
    assert aws.training == TrainingResources(instance_type="ml.g5.xlarge", spot=True)
    assert aws.processing == JobResources()


@pytest.mark.parametrize("setting", ["spot", "max_wait_s", "keep_alive_s"])
def test_processing_has_neither_spot_nor_warm_pools(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(f"IMGCLF_AWS__PROCESSING__{setting.upper()}", "1")
    with pytest.raises(SettingsError, match=rf"aws\.processing\.{setting}"):
        load_settings()


@pytest.mark.parametrize(
    "values",
    [
        {"spot": True, "keep_alive_s": 60},
        {"spot": True, "max_runtime_s": 600, "max_wait_s": 599},
        {"instance_type": "g5.xlarge"},
    ],
)
def test_what_excludes_each_other_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingResources.model_validate(values)


@pytest.mark.parametrize(
    ("uri", "is_right"),
    [
        ("", True),
        ("arn:aws:sagemaker:eu-central-1:123456789012:mlflow-tracking-server/shop", True),
        ("https://mlflow.example.com", True),
        ("mlflow.example.com", False),
        ("./mlruns", False),
    ],
)
def test_an_address_that_mlflow_would_take_for_a_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, uri: str, is_right: bool
) -> None:
    monkeypatch.setenv("IMGCLF_AWS__TRACKING_URI", uri)
    if is_right:
        assert load_settings().aws.tracking_uri == uri
    else:
        with pytest.raises(SettingsError, match=r"aws\.tracking_uri: .*ARN of a SageMaker MLflow"):
            load_settings()
