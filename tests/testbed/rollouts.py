"""Blue/green deployments of endpoints: traffic shifts in steps, alarms roll it back.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html: the green
fleet is made beside the blue one; each step sends it more of the traffic and bakes it for
WaitIntervalInSeconds; an alarm in that time, or a fleet that does not come up, sends everything
back to the blue fleet and the endpoint is InService with the old configuration and a
FailureReason, or without one (https://github.com/hashicorp/terraform-provider-aws/issues/48997).
Waits are divided by the setting ``time_scale``.
"""

import logging
import math
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.testbed.endpoint_configs import found
from tests.testbed.fleets import Fleet, FleetFailed
from tests.testbed.state import State, now

_POLL_S = 0.1
_DEFAULT_TIMEOUT_S = 28_800

log = logging.getLogger(__name__)


@dataclass
class Endpoint:
    """An endpoint: the fleet that answers, and the one that is to take over."""

    name: str
    arn: str
    config_name: str
    deployment: dict[str, Any] | None
    status: str = "Creating"
    failure: str | None = None
    created: Any = field(default_factory=now)
    modified: Any = field(default_factory=now)
    blue: Fleet | None = None
    green: Fleet | None = None
    green_started: Any = None
    green_state: str = "Creating"
    green_share: float = 0.0
    owed: float = 0.0

    def turn(self, status: str, failure: str | None = None) -> None:
        """Be in another state from now on."""
        self.status, self.failure, self.modified = status, failure, now()

    def next_fleet(self) -> Fleet | None:
        """The fleet for the next request: the green one in its share of the turns."""
        if self.green is not None and self.green_share:
            self.owed += self.green_share
            if self.owed > 1 - 1e-9:
                self.owed -= 1
                return self.green
        return self.blue


class RolledBack(RuntimeError):
    """The deployment is not to go on; the message is the FailureReason."""


def create(state: State, endpoint: Endpoint) -> None:
    """Bring a new endpoint up, or leave it Failed. Runs in a thread of its own."""
    try:
        config = found(state, "endpoint-config", "endpoint configuration", endpoint.config_name)
        fleet = Fleet(state, endpoint.name, config)
        fleet.start()
    except Exception as error:
        _unexpected(error)
        with state.lock:
            endpoint.turn("Failed", str(error))
        return
    with state.lock:
        if endpoint.status != "Creating":
            state.thread(fleet.stop)
            return
        endpoint.blue = fleet
        endpoint.turn("InService")


def update(state: State, endpoint: Endpoint, green: Fleet, policy: dict[str, Any]) -> None:
    """Hand the traffic over to ``green``, or keep the old fleet. Runs in a thread of its own.

    Args:
        state: the stand-in.
        endpoint: in status Updating.
        green: the new fleet, not started yet.
        policy: DeploymentConfig of the request.
    """
    try:
        green.start()
        if state.faults.take("silent_rollback", endpoint=endpoint.name):
            raise RolledBack
        _shift(state, endpoint, policy)
    except Exception as error:
        _unexpected(error)
        with state.lock:
            endpoint.turn("RollingBack", str(error) or None)
            endpoint.green_share = 0.0
        green.stop()
        _sleep(state, _POLL_S)
        with state.lock:
            endpoint.green = None
            endpoint.turn("InService", str(error) or None)
        return
    with state.lock:
        old, endpoint.blue, endpoint.green = endpoint.blue, green, None
        endpoint.green_share = 0.0
        endpoint.config_name = green.config_name
        endpoint.deployment = policy or endpoint.deployment
        endpoint.turn("InService")
    if old is not None:
        old.stop()


def _shift(state: State, endpoint: Endpoint, policy: dict[str, Any]) -> None:
    blue_green = policy.get("BlueGreenUpdatePolicy", {})
    rolling = policy.get("RollingUpdatePolicy", {})
    routing = blue_green.get("TrafficRoutingConfiguration", rolling)
    limit_s = (blue_green or rolling).get("MaximumExecutionTimeoutInSeconds", _DEFAULT_TIMEOUT_S)
    scale = float(state.settings["time_scale"])
    deadline = time.monotonic() + limit_s / scale
    alarms = policy.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    names = [alarm["AlarmName"] for alarm in alarms]
    client = _cloudwatch(state) if names else None
    for share in steps(routing, endpoint):
        with state.lock:
            endpoint.green_state = "Baking"
            endpoint.green_share = share
        bake_until = time.monotonic() + routing.get("WaitIntervalInSeconds", 0) / scale
        while True:
            _check_alarms(client, names)
            if time.monotonic() >= bake_until:
                break
            if time.monotonic() > deadline:
                raise RolledBack(f"The deployment took longer than {limit_s} seconds.")
            _sleep(state, _POLL_S)
    _sleep(state, blue_green.get("TerminationWaitInSeconds", 0) / scale)


def steps(routing: dict[str, Any], endpoint: Endpoint) -> list[float]:
    """The green fleet's share of the traffic after each step, the last being 1."""
    kind = routing.get("Type", "ALL_AT_ONCE")
    if "MaximumBatchSize" in routing:
        kind, size = "LINEAR", routing["MaximumBatchSize"]
    else:
        size = routing.get("CanarySize") or routing.get("LinearStepSize")
    if kind == "ALL_AT_ONCE" or size is None or endpoint.blue is None:
        return [1.0]
    instances = sum(variant.instances for variant in endpoint.blue.variants) or 1
    share = size["Value"] / (100 if size["Type"] == "CAPACITY_PERCENT" else instances)
    if kind == "CANARY":
        return [share, 1.0]
    return [min(1.0, share * (step + 1)) for step in range(math.ceil(1 / share))]


def _check_alarms(client: Any, names: list[str]) -> None:
    """Raise RolledBack if one of the alarms is in ALARM."""
    if client is None:
        return
    try:
        reported = client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"])
    except Exception as error:  # whatever the network does; SageMaker rolls back then, too
        raise RolledBack(f"The alarms cannot be read: {error}") from error
    ringing = [a["AlarmName"] for a in reported["MetricAlarms"] if a["StateValue"] == "ALARM"]
    if ringing:
        # SageMaker's own wording is not documented; only that it names a reason, or none at all.
        raise RolledBack(
            "The deployment was rolled back because one or more alarms in "
            f"AutoRollbackConfiguration are in ALARM state: {', '.join(sorted(ringing))}"
        )


def _cloudwatch(state: State) -> Any:
    return _client(state.settings.get("cloudwatch_url") or state.url, state.region)


@cache
def _client(url: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "cloudwatch",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 3}),
    )


def _sleep(state: State, seconds: float) -> None:
    state.stopping.wait(seconds)


def _unexpected(error: Exception) -> None:
    if not isinstance(error, FleetFailed | RolledBack):
        log.exception("the stand-in itself failed", exc_info=error)
