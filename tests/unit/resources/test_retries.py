"""What is tried again within a run, and what is not."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from assets import retries
from assets.retries import TRANSIENT, retried
from imgclf_dagster.definitions import build_definitions
from imgclf_dagster.line.outcome import RunOutcome
from imgclf_dagster.line.progress import narrated
from imgclf_dagster.settings.root import Settings
from object_store.errors import KeyMissing, ObjectRefused, StoreUnavailable
from resources.compute.failures import JobFailed
from resources.endpoints.endpoint_host import DeploymentFailed, HostUnavailable
from resources.registry.registry import RegistryError
from resources.transience import is_transient

pytestmark = pytest.mark.unit

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "Words."}}, "CreateTrainingJob")


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (JobFailed("CapacityError", allow_retries=True), True),
        (JobFailed("ValueError", allow_retries=False), False),
        (refused("ThrottlingException"), True),
        (refused("InternalFailure"), True),
        (refused("AccessDeniedException"), False),
        (refused("ValidationException"), False),
        (EndpointConnectionError(endpoint_url="https://x"), True),
        (caused(RegistryError("throttled"), refused("ThrottlingException")), True),
        (caused(RegistryError("denied"), refused("AccessDeniedException")), False),
        (RegistryError("no such status"), False),
        (caused(HostUnavailable("no host answers"), httpx.ConnectError("refused")), True),
        (HostUnavailable("another store is served"), False),
        (caused(DeploymentFailed("rolled back"), refused("ThrottlingException")), False),
        (StoreUnavailable("busy"), True),
        (ObjectRefused("denied"), False),
        (KeyMissing("gone"), False),
        (ConnectionResetError("by peer"), True),
        (PermissionError("not yours"), False),
        (KeyError("a bug"), False),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_only_what_may_pass_by_itself_is_transient(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


class Told:
    """A narrator that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, step: str) -> None:
        self.lines.append(f"started {step}")

    def logged(self, step: str, message: str, *, level: int) -> None:
        self.lines.append(message)

    def finished(self, step: str, seconds: float) -> None:
        self.lines.append(f"finished {step}")

    def working(self, words: str) -> None:
        """What jobs do is no line of a step."""

    def checked(self, check: str, *, passed: bool, blocking: bool, reason: str) -> None:
        raise AssertionError("there is no check")

    def failed(self, step: str, reason: str) -> None:
        self.lines.append(f"failed: {reason}")


def run(do: Callable[[int], None]) -> tuple[RunOutcome, Told, int]:
    """Materialize an asset that calls ``do`` with the number of the try; how often it did."""
    tries: list[int] = []

    @dg.asset
    @retried
    def thing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        tries.append(context.retry_number)
        do(context.retry_number)
        return dg.MaterializeResult()

    outcome, text = RunOutcome(run_id=str(uuid.uuid4()), success=False), Told()
    job = dg.Definitions(
        assets=[thing], executor=dg.in_process_executor
    ).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        with narrated(instance, outcome, text):
            result = job.execute_in_process(
                instance=instance, run_config=QUIET, run_id=outcome.run_id, raise_on_error=False
            )
        outcome.success = result.success
    return outcome, text, len(tries)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "TRANSIENT", TRANSIENT._replace(delay=0))


def test_what_passes_is_tried_again_and_told() -> None:
    def busy_once(number: int) -> None:
        if number == 0:
            raise JobFailed("CapacityError: no machine\n\nThe end of its log:", allow_retries=True)

    outcome, output, tries = run(busy_once)
    assert (outcome.success, outcome.failures, tries) == (True, {}, 2)
    [warned] = [line for line in output.lines if "trying again" in line]
    assert warned.startswith("CapacityError: no machine\nThis may be temporary")
    assert "try 2 of 4" in warned
    assert output.lines.count("started thing") == 2


def test_what_does_not_pass_is_reported_as_it_was() -> None:
    def always(number: int) -> None:
        raise JobFailed(
            "CapacityError: no machine", metadata={"job": "train-1"}, allow_retries=True
        )

    outcome, _, tries = run(always)
    assert tries == TRANSIENT.max_retries + 1
    assert outcome.failures == {"thing": "CapacityError: no machine"}


@pytest.mark.parametrize("error", [KeyError("bug"), JobFailed("ValueError", allow_retries=False)])
def test_a_permanent_failure_is_paid_once(error: Exception) -> None:
    def fail(number: int) -> None:
        raise error

    outcome, _, tries = run(fail)
    assert (outcome.success, tries) == (False, 1)


def test_an_interrupt_is_no_failure_to_try_again() -> None:
    """Dagster's own ``retry_policy`` does try again what was cancelled."""

    def cancelled(number: int) -> None:
        raise KeyboardInterrupt

    outcome, _, tries = run(cancelled)
    assert (outcome.success, tries) == (False, 1)


def test_an_interrupt_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    def busy(number: int) -> None:
        monkeypatch.setattr(retries, "pause", interrupted)
        raise JobFailed("CapacityError", allow_retries=True)

    outcome, _, tries = run(busy)
    assert (outcome.success, tries) == (False, 1)


def test_pauses_grow_and_differ() -> None:
    pauses = [[TRANSIENT.calculate_delay(number) for _ in range(50)] for number in (1, 2, 3)]
    assert all(len(set(some)) > 40 for some in pauses)
    assert max(pauses[0]) <= min(pauses[1]) <= max(pauses[1]) < min(pauses[2])


def test_every_asset_that_asks_anybody_is_tried_again(tmp_path: Path) -> None:
    definitions = build_definitions(Settings(home=tmp_path))
    computes: dict[str, Any] = {
        asset.key.to_user_string(): asset.op.compute_fn.decorated_fn
        for asset in definitions.resolve_asset_graph().assets_defs
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable and asset.keys
        if not isinstance(asset, dg.AssetChecksDefinition)
    }
    once = [name for name, compute in computes.items() if not hasattr(compute, "__wrapped__")]
    assert len(computes) == 14
    assert set(once) <= {"labelling_queue"}
