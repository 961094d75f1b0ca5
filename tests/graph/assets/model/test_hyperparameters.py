"""A search in the graph, with a real job; and what it chose in the next fine-tuning."""

import json
from typing import Any

import dagster as dg
import pytest
from mlflow.tracking import MlflowClient

from resources.compute.job_spec import JobSpec
from tests.testbed.account import aws_section

pytestmark = pytest.mark.graph

TRAINING = {
    "architecture": "shufflenet_v2_x0_5",
    "weights": "none",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 16,
}
TUNING = {
    "trials": 2,
    "optimizers": ["adamw", "rmsprop"],
    "augmentations": ["none"],
    "weight_decay": [0.01, 0.01],
}


@pytest.fixture(params=["local", "aws"])
def home(request: pytest.FixtureRequest, tmp_path: Any, open_shop: Any) -> Any:
    """A home with a data set; on AWS, each trial is a training job of SageMaker's."""
    profile = {}
    if request.param == "aws":
        request.getfixturevalue("aws_settings")
        profile = {"profile": "aws", "aws": aws_section(request.getfixturevalue("bed"))}
    world = open_shop(tmp_path / "home", training=TRAINING, tuning=TUNING, **profile)
    world.add_classes(8)
    return world


def test_a_search_is_done_once_and_used_by_the_next_fine_tuning(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = home
    done = world.run("raw_images", "annotations", "dataset", "hyperparameters")
    assert done.success, done.why
    shown = done.metadata("hyperparameters")
    assert (shown["trials"], shown["failed"]) == (2, 0)
    chosen = shown["chosen"]
    assert chosen.keys() == {
        "architecture",
        "augmentation",
        "learning_rate",
        "optimizer",
        "weight_decay",
    }
    assert "(data:image/" in shown["optimization history"]
    assert "(data:image/" in shown["parallel coordinates"]
    assert shown["chosen"]["optimizer"] in ("adamw", "rmsprop")
    if world.settings.profile == "local":
        is_logged(world, shown)
    again = world.run("hyperparameters")
    assert again.metadata("hyperparameters")["reused"] is True
    assert again.metadata("hyperparameters").get("mlflow_run") == shown.get("mlflow_run")
    assert again.version("hyperparameters") == done.version("hyperparameters")

    asked: list[JobSpec] = []

    def run(self: Any, context: Any, spec: JobSpec) -> Any:
        asked.append(spec)
        raise dg.Failure("no job runs here", allow_retries=False)

    monkeypatch.setattr(type(world.compute), "run", run)
    config = {"ops": {"trained_model": {"config": {"recipe": "finetune"}}}}
    world.run("trained_model", config=config)
    (spec,) = asked
    used = {name: json.loads(spec.hyperparameters[name]) for name in (*chosen, "epochs")}
    assert used == {**chosen, "epochs": 1}


def is_logged(world: Any, shown: dict[str, Any]) -> None:
    """The search and its trials are runs in MLflow."""
    client = MlflowClient(world.settings.mlflow_uri)
    search = client.get_run(shown["mlflow_run"])
    assert search.data.params["optimizer"] == shown["chosen"]["optimizer"]
    assert search.data.metrics["val_loss"] == pytest.approx(shown["val_loss"])
    files = {file.path for file in client.list_artifacts(search.info.run_id)}
    assert {"trials.json"} | {name for name in files if name.endswith(".png")} == files
    assert len(files) > 2
    below = f"tags.`mlflow.parentRunId` = '{search.info.run_id}'"
    trials = client.search_runs([search.info.experiment_id], below)
    assert {run.info.run_name for run in trials} == {"trial 1", "trial 2"}
    losses = [run.data.metrics["final_val_loss"] for run in trials]
    assert min(losses) == pytest.approx(shown["val_loss"])


def test_the_learning_rate_alone_is_found_by_a_range_test(open_shop: Any, tmp_path: Any) -> None:
    # A hundred steps, whatever the net: a quick one, without augmentation.
    quick = {**TRAINING, "architecture": "squeezenet1_1", "augmentation": "none"}
    world = open_shop(tmp_path / "home", training=quick, tuning=TUNING)
    world.add_classes(8)
    config = {"ops": {"hyperparameters": {"config": {"method": "learning_rate"}}}}
    assets = ("raw_images", "annotations", "dataset", "hyperparameters")
    done = world.run(*assets, config=config)
    assert done.success, done.why
    shown = done.metadata("hyperparameters")
    assert shown["chosen"].keys() == {"architecture", "learning_rate"}
    assert "val_loss" not in shown
    assert "(data:image/" in shown["learning rates"]
    several = world.with_settings(tuning={"architectures": ["resnet18", "resnet34"]})
    refused = several.run("hyperparameters", config=config)
    assert "a range test is of one net" in refused.why
