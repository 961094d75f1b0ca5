"""What a person who waits is told of runs that failed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from imgclf_dagster.progress import failure_since

pytestmark = pytest.mark.unit

SINCE = datetime.now(UTC) - timedelta(minutes=1)
ASSET = "prod_endpoint"


@pytest.fixture
def retrying(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that starts lost runs again, as ours does."""
    overrides = {"run_retries": {"enabled": True, "max_retries": 2}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        yield instance


def failed_run(instance: dg.DagsterInstance, **tags: str) -> str:
    run = dg.DagsterRun(
        job_name="__ASSET_JOB",
        status=dg.DagsterRunStatus.FAILURE,
        asset_selection=frozenset({dg.AssetKey(ASSET)}),
        tags={name.replace("__", "/"): value for name, value in tags.items()},
    )
    instance.add_run(run)
    return run.run_id


@pytest.mark.parametrize("tags", [{}, {"dagster__will_retry": "true"}])
def test_a_run_that_may_start_again_has_not_failed(
    retrying: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    failed_run(retrying, **tags)

    assert failure_since(retrying, SINCE, [ASSET]) is None


def test_a_run_that_is_given_up_has_failed(retrying: dg.DagsterInstance) -> None:
    run_id = failed_run(retrying, dagster__will_retry="false")

    assert run_id in str(failure_since(retrying, SINCE, [ASSET]))
    assert failure_since(retrying, SINCE, ["dataset"]) is None


def test_where_nothing_is_retried_a_failure_is_one() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = failed_run(instance)

        assert run_id in str(failure_since(instance, SINCE, [ASSET]))
