"""The request of a SageMaker tuning job."""

import pytest

from resources.compute.job_spec import JobSpec
from resources.compute.sagemaker.machines import TrainingResources
from resources.compute.sagemaker.requests import JobPlaces, JobSettings
from resources.compute.sagemaker.tuning import tuning_request
from resources.compute.search import SearchSpec
from training.tuning.space import SearchSpace

pytestmark = pytest.mark.unit

SPACE = SearchSpace(optimizers=("adamw", "sgd"), augmentations=("photo",))
STATIC = {"epochs": "3", "model_version": "tune-1"}


def request(**changes: object) -> dict[str, object]:
    trial = JobSpec(
        name="tune-1",
        kind="training",
        module="training.train",
        hyperparameters={**STATIC, "optimizer": '"adamw"', "learning_rate": "0.1"},
    )
    search = SearchSpec(trial, SPACE.parameter_ranges(), "val_loss", 8, 3600, 2, 7)
    settings = JobSettings("arn:aws:iam::123456789012:role/jobs", "image:1")
    places = JobPlaces({"dataset": "s3://b/manifest"}, "s3://b/models", "s3://b/checkpoints")
    resources = TrainingResources.model_validate({"keep_alive_s": 600, **changes})
    return tuning_request(search, "tune-1-2", resources, settings, places)


def test_what_is_searched_is_not_static() -> None:
    asked = request()
    definition = asked["TrainingJobDefinition"]
    assert isinstance(definition, dict)
    static = definition["StaticHyperParameters"]
    assert static.keys() >= STATIC.keys()
    assert not {"optimizer", "learning_rate", "weight_decay"} & static.keys()
    config = asked["HyperParameterTuningJobConfig"]
    assert isinstance(config, dict)
    assert config["HyperParameterTuningJobObjective"] == {
        "Type": "Minimize",
        "MetricName": "val_loss",
    }
    assert config["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": 8,
        "MaxParallelTrainingJobs": 2,
        "MaxRuntimeInSeconds": 3600,
    }
    names = {item["Name"] for item in definition["AlgorithmSpecification"]["MetricDefinitions"]}
    assert "val_loss" in names


def test_it_has_only_members_that_the_service_knows() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateHyperParameterTuningJob").input_shape
    asked = request()
    assert asked.keys() <= shape.members.keys()
    config = shape.members["HyperParameterTuningJobConfig"].members
    definition = shape.members["TrainingJobDefinition"].members
    for given, known in (
        (asked["HyperParameterTuningJobConfig"], config),
        (asked["TrainingJobDefinition"], definition),
        (
            asked["TrainingJobDefinition"]["AlgorithmSpecification"],  # type: ignore[index]
            definition["AlgorithmSpecification"].members,
        ),
        (
            asked["TrainingJobDefinition"]["ResourceConfig"],  # type: ignore[index]
            definition["ResourceConfig"].members,
        ),
    ):
        assert given.keys() <= known.keys()  # type: ignore[attr-defined]
