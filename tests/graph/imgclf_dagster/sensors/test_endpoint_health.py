"""``endpoint_health_sensor``: what is recorded is served, or is asked for again."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.runs import asking
from imgclf_dagster.runs.jobs import PROMOTION
from imgclf_dagster.runs.orphans import process_tag
from imgclf_dagster.sensors.endpoint_health import endpoint_health_sensor
from serving.deployments import DeploymentRecord, record_key
from tests.patience import wait_for
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.graph


def look(shop: Any) -> tuple[list[dg.RunRequest], str]:
    """What the sensor asks for, and what it says if it asks for nothing."""
    given = {name: shop.resource(name) for name in ("registry", "endpoints")}
    with dg.build_sensor_context(instance=shop.instance, resources=given) as context:
        found = endpoint_health_sensor(context)
    if isinstance(found, dg.SkipReason):
        return [], str(found.skip_message)
    return list(found.run_requests or []), ""


def recorded(shop: Any, package: Any, stage: str = "prod") -> DeploymentRecord:
    """The record of a deployer that was killed behind it."""
    record = DeploymentRecord.at(
        time.time_ns() // 1_000_000,
        stage=stage,
        model_version=package.model_version,
        digest=package.digest,
        model_key=package.model_key,
        deployed_by="ann",
        reason="good",
    )
    shop.store.put(record_key(record), record.model_dump_json().encode())
    return record


def carry_out(shop: Any, request: dg.RunRequest) -> Any:
    (asset,) = request.asset_selection or []
    return shop.run(
        asset.to_user_string(), partition=request.partition_key, config=request.run_config
    )


def served(shop: Any, stage: str = "prod") -> str | None:
    return shop.endpoints.describe(stage).model_version


@pytest.fixture
def hosted(shop: Any) -> Iterator[Any]:
    """A shop with an endpoint host on this machine."""
    with shop.endpoints.hosting(log_file=shop.home / "host.log"):
        yield shop


@pytest.fixture
def on_aws(
    tmp_path: Path, open_shop: Callable[..., Any], aws_settings: dict[str, Any], bed: TestBed
) -> Any:
    """A shop with SageMaker's endpoints, under a name of its own."""
    name = bed.bucket()
    aws = {**aws_settings["aws"], "bucket": name, "package_group": name}
    return open_shop(tmp_path / "home", project=name, **{**aws_settings, "aws": aws})


def test_without_a_host_on_this_machine_nothing_is_asked_for(shop: Any) -> None:
    recorded(shop, shop.approve(shop.candidate("train-1")))
    requests, answer = look(shop)
    assert requests == []
    assert "imgclf up" in answer


def test_the_local_host_is_left_to_converge_by_itself(hosted: Any) -> None:
    assert look(hosted) == (
        [],
        "prod: nothing is served (NotFound); staging: nothing is served (NotFound)",
    )
    recorded(hosted, hosted.approve(hosted.candidate("train-1")))
    while served(hosted) is None:
        assert look(hosted)[0] == []
    assert look(hosted)[1].startswith("prod: train-1 is served (InService)")


def test_a_local_record_that_failed_and_was_left_so_is_asked_for(hosted: Any) -> None:
    """Its model could not be read for a while, and its deployer was killed meanwhile."""
    first, second = (hosted.approve(hosted.candidate(f"train-{number}")) for number in (1, 2))
    model = hosted.store.get(second.model_key)
    hosted.store.delete(second.model_key)
    recorded(hosted, first)
    wait_for(lambda: served(hosted) == "train-1")
    recorded(hosted, second)
    wait_for(lambda: hosted.endpoints.describe("prod").status == "Failed")
    hosted.store.put(second.model_key, model)
    (request,), _ = look(hosted)
    assert request.partition_key == "train-2"
    done = carry_out(hosted, request)
    assert done.success, done.why
    assert served(hosted) == "train-2"
    assert hosted.endpoints.current("prod").deployed_by == "ann"
    assert look(hosted)[0] == []


def test_a_record_that_is_not_served_on_aws_is_deployed_again(on_aws: Any, bed: TestBed) -> None:
    first, second = (on_aws.approve(on_aws.candidate(f"train-{number}")) for number in (1, 2))
    record = recorded(on_aws, first)
    (request,), _ = look(on_aws)
    assert request.run_config == {
        "ops": {"prod_endpoint": {"config": {"deployed_by": "ann", "reason": "good"}}}
    }
    done = carry_out(on_aws, request)
    assert done.success, done.why
    assert served(on_aws) == "train-1"
    assert on_aws.endpoints.history("prod") == [record]
    project, shown = on_aws.settings.project, done.metadata("prod_endpoint")
    assert shown["url"].endswith(f"#/endpoints/{project}-prod")
    assert shown["CloudFormation stack"].endswith(f"filteringText={project}-endpoint-prod")
    assert shown["invocations"] == f"{bed.url}/endpoints/{project}-prod/invocations"
    assert look(on_aws)[0] == []

    staged = recorded(on_aws, second, "staging")
    (request,), _ = look(on_aws)
    assert (request.partition_key, request.run_config) == ("train-2", {})
    carry_out(on_aws, request)  # staging's checks have no test images here
    assert served(on_aws, "staging") == "train-2"
    assert on_aws.endpoints.history("staging") == [staged]

    bed.client("sagemaker").delete_endpoint(EndpointName=f"{on_aws.settings.project}-prod")
    wait_for(lambda: look(on_aws)[0] != [])
    (request,), _ = look(on_aws)
    assert request.partition_key == "train-1"
    assert carry_out(on_aws, request).success
    assert look(on_aws) == (
        [],
        "prod: train-1 is served (InService); staging: train-2 is served (InService)",
    )


def test_what_is_not_deployed_again_is_reported(on_aws: Any) -> None:
    package = on_aws.candidate("train-1")
    recorded(on_aws, package)
    assert "train-1 is not approved" in look(on_aws)[1]
    on_aws.reject(package)
    requests, answer = look(on_aws)
    assert requests == []
    assert "drift: train-1 is recorded, and there is no endpoint" in answer
    assert "not deployed again: train-1 was rejected by bob" in answer
    on_aws.approve(package)
    on_aws.instance.delete_dynamic_partition("model_version", "train-1")
    assert "Dagster does not know train-1" in look(on_aws)[1]


def test_one_run_at_a_time_and_ever_more_seldom(
    on_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(on_aws, on_aws.approve(on_aws.candidate("train-1")))
    other = dg.DagsterRun(
        job_name=PROMOTION, status=dg.DagsterRunStatus.STARTED, tags=process_tag()
    )
    on_aws.instance.add_run(other)
    assert look(on_aws) == ([], f"run {other.run_id} is under way")
    on_aws.instance.report_run_canceled(other)
    (request,), _ = look(on_aws)
    run = dg.DagsterRun(job_name="__ASSET_JOB", tags=request.tags)
    on_aws.instance.add_run(run)
    on_aws.instance.report_run_failed(run, "no capacity")
    assert "failed 1 times; again in" in look(on_aws)[1]
    later = partial(float, time.time() + asking.RETRY_S + 1)
    monkeypatch.setattr(asking, "time", SimpleNamespace(time=later))
    (again,), _ = look(on_aws)
    assert again.run_key != request.run_key


def test_a_second_drift_of_the_same_record_is_asked_for_again(
    on_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mending writes no record; Dagster takes a run key once."""
    recorded(on_aws, on_aws.approve(on_aws.candidate("train-1")))
    (request,), _ = look(on_aws)
    on_aws.instance.add_run(
        dg.DagsterRun(job_name="__ASSET_JOB", tags=request.tags, status=dg.DagsterRunStatus.SUCCESS)
    )
    later = partial(float, time.time() + asking.RETRY_S + 1)
    monkeypatch.setattr(asking, "time", SimpleNamespace(time=later))
    (again,), _ = look(on_aws)
    assert again.run_key != request.run_key
