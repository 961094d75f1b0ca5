"""What S3 tells of a bucket is understood in each form, and nothing else is."""

import json

import pytest

from resources.arrivals.s3_events import NoS3EventError, event_keys

pytestmark = pytest.mark.unit

RECORD = {
    "eventSource": "aws:s3",
    "eventName": "ObjectCreated:Put",
    "s3": {"bucket": {"name": "b"}, "object": {"key": "raw/a+b%2Bc%C3%BC.png"}},
}
DIRECT = json.dumps({"Records": [RECORD]})
BRIDGE = json.dumps(
    {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "raw/a b+c.png"}},
    }
)


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (DIRECT, {"raw/a b+cü.png"}),
        (json.dumps({"Records": [RECORD, RECORD]}), {"raw/a b+cü.png"}),
        (json.dumps({"Type": "Notification", "Message": DIRECT}), {"raw/a b+cü.png"}),
        (BRIDGE, {"raw/a b+c.png", "raw/a b c.png"}),
        (
            json.dumps({"Type": "Notification", "Message": BRIDGE}),
            {"raw/a b+c.png", "raw/a b c.png"},
        ),
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), set()),
        (json.dumps({"Records": []}), set()),
    ],
)
def test_each_form_of_an_event_is_understood(body: str, keys: set[str]) -> None:
    assert event_keys(body, "b") == keys


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no event of S3"),
        ('{"Type": "Notification", "Message": "hello"}', "no JSON"),
        ('{"Type": "Notification", "Message": {}}', "no JSON"),
        ('{"Records": ["x"]}', "not of S3"),
        ('{"Records": [{"eventSource": "aws:s3"}]}', "no bucket and object"),
        (DIRECT.replace('"b"', '"other"'), "of the bucket other"),
        (DIRECT.replace("%C3%BC", "%C3"), "not UTF-8"),
        (BRIDGE.replace("a b+c", "\\ud800"), "no text"),
        (BRIDGE.replace('"raw/a b+c.png"', "1"), "no text"),
    ],
)
def test_what_is_no_event_is_said_to_be_none(body: str, reason: str) -> None:
    with pytest.raises(NoS3EventError, match=reason):
        event_keys(body, "b")
