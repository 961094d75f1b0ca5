"""Logs as CloudWatch pages them; botocore's stub stands at the HTTP border."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from resources.compute.sagemaker_pipes.logs import JobLogs

pytestmark = pytest.mark.unit

GROUP = "/aws/sagemaker/TrainingJobs"
STREAM = "train-1/algo-1-1795392000"


def page(token: str | None, gives: str, *lines: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A call of GetLogEvents with ``token``, and its answer."""
    events = [{"timestamp": 1, "message": line, "ingestionTime": 1} for line in lines]
    asked = {
        "logGroupName": GROUP,
        "logStreamName": STREAM,
        "startFromHead": True,
        "limit": 10_000,
        **({"nextToken": token} if token else {}),
    }
    return "get_log_events", {"events": events, "nextForwardToken": gives}, asked


def cloudwatch() -> Any:
    return boto3.client(
        "logs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def test_an_empty_page_is_not_the_end() -> None:
    """GetLogEvents may return nothing before the end; the end is a token that stays the same."""
    client = cloudwatch()
    got: list[tuple[str, str]] = []
    logs = JobLogs(client, GROUP, "train-1/", lambda host, text: got.append((host, text)))
    streams = {"logStreams": [{"logStreamName": STREAM}]}
    asked = {"logGroupName": GROUP, "logStreamNamePrefix": "train-1/", "limit": 50}
    with Stubber(client) as stub:
        stub.add_response("describe_log_streams", streams, asked)
        for operation, answer, request in (
            page(None, "f/1", "first"),
            page("f/1", "f/2"),
            page("f/2", "f/3"),
            page("f/3", "f/4", "last"),
            page("f/4", "f/4"),
        ):
            stub.add_response(operation, answer, request)
        logs.drain()
        stub.assert_no_pending_responses()
    assert got == [("algo-1", "first"), ("algo-1", "last")]
    assert list(logs.tail) == ["first", "last"]


@pytest.mark.parametrize("polls", range(12))
def test_the_last_line_is_read_however_often_it_was_polled(polls: int) -> None:
    """Looking for streams now and then does not take the place of reading them."""
    client = cloudwatch()
    got: list[str] = []
    logs = JobLogs(client, GROUP, "train-1/", lambda host, text: got.append(text))
    streams = {"logStreams": [{"logStreamName": STREAM}]}
    with Stubber(client) as stub:
        stub.add_response("describe_log_streams", streams)
        logs.poll()
        token = None
        for number in range(1, polls):
            if (number + 1) % 10 == 0:
                stub.add_response("describe_log_streams", streams)
            else:
                stub.add_response(*page(token, "f/1"))
                token = "f/1"
            logs.poll()
        stub.add_response("describe_log_streams", streams)
        stub.add_response(*page(token, "f/2", "last"))
        stub.add_response(*page("f/2", "f/2"))
        logs.drain()
        stub.assert_no_pending_responses()
    assert got == ["last"]
