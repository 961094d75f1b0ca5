"""The line under the roles of ``foundation.yaml``, which nobody here has more rights than.

The graph runs in a session of the orchestrator's role; jobs and what SageMaker does for them are
held to the jobs' role.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.sensors.arrival import raw_images_arrival_sensor
from resources.compute.job_names import JOB_KINDS
from tests.testbed.bed import TestBed
from tests.testbed.foundation import Foundation

pytestmark = pytest.mark.graph

RECIPE = {
    "recipe": "scratch",
    "image_size": 16,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.01,
    "augmentation": "none",
}
LABELLED = ("raw_images", "annotations", "dataset", "trained_model", "evaluation_report")


@pytest.fixture(scope="module")
def account(bed: TestBed) -> Iterator[Foundation]:
    """An account; this module's calls are those of its orchestrator."""
    bed.with_cloudformation()
    account = Foundation(bed, "roles", KeyPrefix="line/")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {**bed.environ, **account.session}.items():
            patched.setenv(name, value)
        yield account


@pytest.fixture(scope="module")
def line(
    account: Foundation, tmp_path_factory: pytest.TempPathFactory, open_shop: Callable[..., Any]
) -> Any:
    """A home on that account, with labelled pictures."""
    shop = open_shop(
        tmp_path_factory.mktemp("roles") / "home",
        profile="aws",
        project=account.project,
        aws=account.section(poll_s=0.2),
        training=RECIPE,
        split={"train": 0.6, "val": 0.2, "test": 0.2},
    )
    shop.add_classes(24)
    return shop


def refused(bed: TestBed, account: Foundation) -> list[str]:
    """Calls about the account's things that were turned away for want of rights."""
    return [
        f"{call['operation']} {call['request']}"
        for call in bed.calls()
        if call["status"] == 403 and account.project in str(call["request"])
    ]


def test_every_job_of_the_line_starts_under_the_orchestrators_role(
    line: Any, account: Foundation, bed: TestBed
) -> None:
    began = len(bed.calls())
    done = line.run(*LABELLED)
    assert "evaluation_report" in done.materialized, done.why
    looked = line.run("embeddings")
    assert looked.success, looked.why
    report = line.run("labelling_report")  # whose job reads the features that are there now
    assert report.success, report.why
    assert report.metadata("labelling_report")["job"].startswith("curve-")
    made = {
        call["request"][name].partition("-")[0]
        for call in bed.calls()[began:]
        for name in ("TrainingJobName", "ProcessingJobName")
        if call["operation"].startswith("Create") and name in call["request"]
    }
    assert made == set(JOB_KINDS), "a stage that is not started here is held to no policy"
    assert refused(bed, account) == []


def test_a_model_is_released_under_the_orchestrators_role(
    line: Any, account: Foundation, bed: TestBed
) -> None:
    package = line.candidate("train-00000000000a")
    staged = line.run("staging_endpoint", partition=package.model_version)
    assert "staging_endpoint" in staged.materialized, staged.why
    line.approve(package)
    released = line.run("prod_endpoint", partition=package.model_version)
    assert released.success, released.why
    assert line.endpoints.describe("prod").model_version == package.model_version
    assert refused(bed, account) == []


def test_arrivals_are_taken_from_the_queue_under_the_orchestrators_role(
    line: Any, account: Foundation, bed: TestBed, photo: Callable[..., bytes]
) -> None:
    line.add("new/901.png", photo(901, "red"), "red")
    given = {name: line.resource(name) for name in ("store", "line", "arrivals")}
    with dg.build_sensor_context(instance=line.instance, resources=given) as context:
        raw_images_arrival_sensor(context)
    assert line.store.list("arrivals/")
    assert line.store.list("label-arrivals/")
    assert refused(bed, account) == []
