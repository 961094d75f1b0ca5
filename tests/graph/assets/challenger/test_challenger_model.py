"""A challenger from its plan to its release; jobs are played, all that decides is real."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from assets.release.verdicts import MODEL_CHECKS
from resources.compute.job_spec import JobSpec
from tests.graph.played_jobs import PlayedJobs

pytestmark = pytest.mark.graph

LINE = ("raw_images", "annotations", "dataset", "trained_model", "evaluation_report")


@pytest.fixture(autouse=True)
def _probe(shop: Any, jobs: PlayedJobs) -> None:
    """A home whose probe is evaluated, under the default settings."""
    shop.add_classes(16)
    done = shop.run(*LINE)
    assert done.success, done.why
    assert done.metadata("trained_model")["recipe_asked"] == "auto"


def challenge(shop: Any, **config: Any) -> Any:
    given = {"ops": {"challenger_model": {"config": config}}} if config else None
    done = shop.run("challenger_model", config=given)
    assert done.success, done.why
    return done


def test_a_better_challenger_becomes_the_candidate_and_may_be_released(
    shop: Any, jobs: PlayedJobs
) -> None:
    done = challenge(shop)
    assert jobs.modules == ["train", "evaluate", "step_time", "train", "evaluate"]
    trained = jobs.asked[3]
    assert json.loads(trained.hyperparameters["recipe"]) == "finetune"
    assert (trained.background, jobs.asked[0].background) == (True, False)
    shown = done.metadata("challenger_model")
    version = jobs.version_of("finetune")
    assert shown["won"] is True
    assert "becomes the candidate: it is better: macro-F1 0.9500 against 0.9000" in shown["outcome"]
    assert shown["configuration"]["recipe"] == "finetune"
    evaluated = shop.run("evaluation_report")
    assert evaluated.success, evaluated.why
    found = evaluated.metadata("evaluation_report")
    assert (found["model_version"], found["made_by"]) == (version, "challenger_model")
    for check in MODEL_CHECKS:
        assert shop.verdict(f"trained_model/{version}", check).passed
    assert version in shop.instance.get_dynamic_partitions("model_version")
    registered = shop.run("registered_package", partition=version)
    assert registered.success, registered.why


def test_the_same_again_computes_nothing(shop: Any, jobs: PlayedJobs) -> None:
    first = challenge(shop)
    count = len(jobs.asked)
    again = challenge(shop)
    assert len(jobs.asked) == count
    assert again.version("challenger_model") == first.version("challenger_model")
    shop.run(*LINE)  # the candidate of the whole line is the challenger, and is evaluated once
    shop.run(*LINE)
    assert len(jobs.asked) == count + 1


def test_a_challenger_that_is_not_better_leaves_the_probe(shop: Any, jobs: PlayedJobs) -> None:
    jobs.macro_f1["finetune"] = jobs.macro_f1["probe"]
    probe = jobs.version_of("probe")
    shown = challenge(shop).metadata("challenger_model")
    assert f"it is not better: macro-F1 0.9000 against 0.9000 of {probe}" in shown["outcome"]
    assert shown["outcome"].endswith(f"{probe} stays the candidate")
    found = shop.run("evaluation_report").metadata("evaluation_report")
    assert (found["model_version"], found["made_by"]) == (probe, "trained_model")
    assert found["challenger"] == shown["outcome"]
    assert len(shop.instance.get_dynamic_partitions("model_version")) == 1


def test_a_budget_that_allows_no_epochs_trains_none_and_says_why(
    shop: Any, jobs: PlayedJobs
) -> None:
    jobs.epoch_s = 900.0
    shown = challenge(shop).metadata("challenger_model")
    assert jobs.modules == ["train", "evaluate", "step_time"]
    assert "training.budget_minutes allows 30 min" in shown["outcome"]
    shown = challenge(shop, budget_minutes=118.0).metadata("challenger_model")
    assert json.loads(jobs.asked[3].hyperparameters["epochs"]) == 7
    assert shown["won"] is True


def test_nothing_is_measured_without_a_budget(shop: Any, jobs: PlayedJobs) -> None:
    shown = challenge(shop, budget_minutes=0.0).metadata("challenger_model")
    assert jobs.modules == ["train", "evaluate"]
    assert shown["outcome"] == "no challenger is trained: training.budget_minutes is 0"


def test_a_challenger_is_compared_with_the_model_of_newer_data(
    shop: Any, jobs: PlayedJobs, photo: Callable[..., bytes]
) -> None:
    """Labels that come all the time do not let every challenger end in vain."""
    train = jobs.train

    def meanwhile(spec: JobSpec) -> None:
        jobs.train = train
        train(spec)
        shop.add("red/new.png", photo(5000, "red"), "red")
        done = shop.run(*LINE)  # as the daemon does beside it
        assert done.success, done.why

    jobs.train = meanwhile
    shown = challenge(shop).metadata("challenger_model")
    newest = shop.run("evaluation_report")
    probes = [name for name, recipe in jobs.models.values() if recipe == "probe"]
    assert len(probes) == 2
    assert shown["compared_with"] == probes[1]
    assert newest.metadata("evaluation_report")["made_by"] == "challenger_model"
    assert shown["won"] is True


def test_other_classes_make_models_that_cannot_be_compared(
    shop: Any, jobs: PlayedJobs, photo: Callable[..., bytes]
) -> None:
    train = jobs.train

    def meanwhile(spec: JobSpec) -> None:
        jobs.train = train
        train(spec)
        for seed in range(6000, 6012):
            shop.add(f"white/{seed}.png", photo(seed, "blue"), "white")
        shop.run("raw_images", "annotations", "dataset", "trained_model")

    jobs.train = meanwhile
    shown = challenge(shop).metadata("challenger_model")
    assert "the data set changed meanwhile (labels)" in shown["outcome"]
    assert shown["won"] is False
