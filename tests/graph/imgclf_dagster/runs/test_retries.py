"""A job for which SageMaker has no machine at first: one Dagster run, and nothing paid for twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.bed import TestBed

pytestmark = pytest.mark.graph

RECIPE = {
    "recipe": "scratch",
    "image_size": 16,
    "epochs": 1,
    "batch_size": 8,
    "augmentation": "none",
}


@pytest.fixture
def shop(
    tmp_path: Path, open_shop: Callable[..., Any], aws_settings: dict[str, Any], bed: TestBed
) -> Any:
    training = {"instance_type": "ml.m5.xlarge", "spot": False}  # spot would wait for capacity
    aws = {**aws_settings["aws"], "bucket": bed.bucket(), "training": training}
    split = {"train": 0.6, "val": 0.2, "test": 0.2}
    shop = open_shop(
        tmp_path / "home", training=RECIPE, split=split, **{**aws_settings, "aws": aws}
    )
    shop.add_classes(12)
    assert shop.run("raw_images", "annotations", "dataset").metadata("dataset")["images"] == 36
    return shop


def created(bed: TestBed, shop: Any) -> list[str]:
    """Names of the training jobs that were created for the shop's bucket."""
    bucket = shop.settings.aws.bucket
    return [
        call["request"]["TrainingJobName"]
        for call in bed.calls("CreateTrainingJob")
        if f"s3://{bucket}/" in call["request"]["OutputDataConfig"]["S3OutputPath"]
        and call["status"] == 200
    ]


def test_no_capacity_costs_a_second_call_and_no_second_run(shop: Any, bed: TestBed) -> None:
    bed.fault("*", "capacity", job="train-*")
    done = shop.run("trained_model")
    assert done.success, done.why
    first, second = created(bed, shop)
    assert second == f"{first}-2"
    assert done.metadata("trained_model")["SageMaker job"] == second
    retries = [event for event in done.result.all_events if event.is_step_up_for_retry]
    assert len(retries) == 1


def test_a_poll_that_is_never_answered_leads_back_to_the_same_job(
    shop: Any, bed: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after ``patience_s`` without an answer: the job goes on, and the next try attaches to it."""
    from botocore.exceptions import EndpointConnectionError

    from resources.compute.sagemaker_pipes.client import PipesSageMakerClient

    watch = PipesSageMakerClient._watch

    def unanswered(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(PipesSageMakerClient, "_watch", watch)
        raise EndpointConnectionError(endpoint_url="https://sagemaker")

    monkeypatch.setattr(PipesSageMakerClient, "_watch", unanswered)
    done = shop.run("trained_model")
    assert done.success, done.why
    assert len(created(bed, shop)) == 1
    assert done.metadata("trained_model")["reattached"] is True
