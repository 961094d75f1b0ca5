"""Arrivals in a bucket: S3's notifications through SQS, and the listing that finds the rest."""

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from assets import retries
from assets.ingestion import sweep as arrival_sweep
from assets.ingestion.image_index import images_table, newest_rows
from imgclf_dagster.runs import asking
from object_store import s3_access
from object_store.store import ObjectStore
from resources.arrivals import sqs as sqs_arrivals
from resources.arrivals.arrivals import NoArrivals, pending_notices, write_notice
from resources.arrivals.sqs import SqsArrivals
from resources.aws.session import AwsSession
from tests.contract.resources.arrivals.arrivals_yard import Yard, png
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract


@pytest.fixture
def bare(aws_environment: TestBed, tmp_path: Path) -> Yard:
    """A bucket that nobody tells of."""
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/line")
    store.ensure()
    return Yard(aws_environment, tmp_path, store, NoArrivals(), "")


@pytest.fixture
def yard(bare: Yard) -> Yard:
    """A bucket with notifications to a queue with a dead-letter queue; swept once."""
    bucket, prefix = bare.place
    sqs = bare.bed.client("sqs")
    dead = sqs.create_queue(QueueName=f"{bucket}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "5"}
    queue = sqs.create_queue(QueueName=bucket, Attributes={"RedrivePolicy": json.dumps(redrive)})[
        "QueueUrl"
    ]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    rule = {
        "QueueArn": arn["QueueArn"],
        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"{prefix}/raw/"}]}},
    }
    bare.bed.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule]}
    )
    yard = replace(bare, queue_url=queue)
    yard.arrivals = queue_of(yard)
    assert yard.settle() == 0
    return yard


# --- told by the queue ----------------------------------------------------------------------


def test_every_kind_of_arrival_is_noticed(yard: Yard) -> None:
    odd = ["a b+c.png", "ü/日本 %41.png", "d?e=f&g#1.png"]
    for number, key in enumerate(odd):
        yard.upload(key, png(number))
    assert yard.settle() == 1
    assert yard.known() == dict.fromkeys(odd, "ok")

    def image_of(key: str) -> str:
        rows = newest_rows(images_table(yard.store).read()).to_pylist()
        return next(row["sha256"] for row in rows if row["key"] == f"raw/{key}")

    first = image_of(odd[0])
    yard.upload(odd[0], png(10))
    yard.upload(odd[0], png(11))  # in the same second
    yard.remove(odd[1])
    assert yard.settle() == 1
    assert image_of(odd[0]) != first
    assert yard.known()[odd[1]] == "deleted"
    yard.upload(odd[1], png(1))  # back, as it was
    yard.remove(odd[2])
    yard.upload(odd[2], png(2))  # gone and back before anybody looked
    yard.store.put("raw/big.png", png(3) + bytes(17 << 20))  # a multipart upload
    assert yard.settle() == 1
    assert yard.known() == {**dict.fromkeys(odd, "ok"), "big.png": "ok"}
    assert yard.waiting() == 0
    assert pending_notices(yard.store) == []
    assert yard.settle() == 0


def test_what_it_costs_grows_with_what_is_new_only(yard: Yard) -> None:
    for number in range(12):
        yard.upload(f"{number}.png", png(number))
    yard.settle()
    for operation, times in (("ReceiveMessage", 1), ("ListObjectsV2", 1), ("HeadObject", 0)):
        assert yard.calls(operation, yard.tick) == times
    yard.upload("new.png", png(99))
    (request,) = yard.tick()
    before = len(yard.bed.calls("ListObjectsV2"))
    assert yard.calls("HeadObject", lambda: yard.run(request)) == 1
    listed = [call["request"]["prefix"] for call in yard.bed.calls("ListObjectsV2")[before:]]
    assert listed
    assert "line/raw/" not in listed
    assert yard.known()["new.png"] == "ok"


def test_repeated_and_late_messages_do_no_harm(yard: Yard) -> None:
    yard.upload("a.png", png(1))
    yard.settle()
    events = [
        ("ObjectRemoved:Delete", "a.png", "01"),
        ("ObjectCreated:Put", "a.png", "02"),
        ("ObjectRemoved:Delete", "a.png", "01"),
        ("ObjectCreated:Put", "never-there.png", "03"),
    ]
    bucket, prefix = yard.place
    for name, key, order in events:
        record = {
            "eventSource": "aws:s3",
            "eventName": name,
            "s3": {
                "bucket": {"name": bucket},
                "object": {"key": f"{prefix}/raw/{key}", "sequencer": order},
            },
        }
        yard.send(json.dumps({"Records": [record]}))
    version = images_table(yard.store).version()
    assert yard.settle() == 1
    assert yard.known() == {"a.png": "ok"}
    assert images_table(yard.store).version() == version


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessageBatch", "PutObject"])
def test_a_service_that_is_asked_too_often_is_asked_again(yard: Yard, operation: str) -> None:
    yard.upload("a.png", png(1))
    yard.bed.fault(operation, "throttle")
    assert yard.settle() == 1
    assert yard.known() == {"a.png": "ok"}
    assert [fault["taken"] for fault in yard.bed.faults()] == [1]
    assert yard.waiting() == 0
    assert not yard.warnings


def test_a_message_that_nobody_understands_goes_to_the_dead_letters(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs_arrivals, "VISIBILITY_S", 1)
    queue = yard.bed.client("sqs")
    redrive = queue.get_queue_attributes(QueueUrl=yard.queue_url, AttributeNames=["RedrivePolicy"])
    rule = json.loads(redrive["Attributes"]["RedrivePolicy"]) | {"maxReceiveCount": "2"}
    queue.set_queue_attributes(
        QueueUrl=yard.queue_url, Attributes={"RedrivePolicy": json.dumps(rule)}
    )
    for body in ("no JSON", '{"Records": [{"eventSource": "aws:ses"}]}'):
        yard.send(body)
    yard.upload("a.png", png(1))
    assert yard.settle() == 1
    assert yard.known() == {"a.png": "ok"}
    assert len(yard.warnings) >= 2
    assert all("message " in text and "dead-letter" in text for text in yard.warnings)
    dead = yard.bed.client("sqs").get_queue_url(QueueName=f"{yard.place[0]}-dead")["QueueUrl"]
    for _ in range(2):
        time.sleep(1.1)
        yard.tick()
    assert yard.waiting() == 0
    assert replace(yard, queue_url=dead).waiting() == 2


def test_a_killed_tick_and_a_killed_run_lose_nothing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs_arrivals, "VISIBILITY_S", 1)
    yard = impatient(yard, monkeypatch)
    yard.upload("a.png", png(1))
    yard.bed.fault("PutObject", "error500", times=-1, match={"Key": "*arrivals/*"})
    with pytest.raises(Exception, match="arrivals/"):  # received, not noticed
        yard.tick()
    yard.bed.clear_faults()
    time.sleep(1.1)
    yard.bed.fault("DeleteMessageBatch", "error500", times=-1)  # noticed, not deleted
    yard.tick()
    assert len(pending_notices(yard.store)) == 1
    yard.bed.clear_faults()
    time.sleep(1.1)
    (request,) = yard.tick()  # and noticed again
    assert len(pending_notices(yard.store)) == 2

    yard.bed.fault("PutObject", "error500", times=-1, match={"Key": "*tables/*"})
    assert not yard.run(request).success  # read, not indexed
    yard.bed.clear_faults()
    yard.bed.fault("DeleteObjects", "error500", times=-1)
    assert not yard.run(request).success  # indexed, notices not deleted
    yard.bed.clear_faults()
    assert len(pending_notices(yard.store)) == 2
    rows = images_table(yard.store).read().num_rows
    assert yard.run(request).success
    assert images_table(yard.store).read().num_rows == rows == 1
    assert yard.known() == {"a.png": "ok"}
    assert yard.settle() == 0
    assert yard.waiting() == 0


def impatient(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """With clients that try once, for what fails for ever here, and runs that do not pause."""
    monkeypatch.setattr(s3_access, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(retries, "TRANSIENT", retries.TRANSIENT._replace(delay=0))
    return replace(yard, store=ObjectStore(url=yard.store.url), arrivals=queue_of(yard))


def queue_of(yard: Yard, queue_url: str = "") -> SqsArrivals:
    bucket, prefix = yard.place
    return SqsArrivals(
        session=AwsSession(max_attempts=2),
        queue_url=queue_url or yard.queue_url,
        bucket=bucket,
        prefix=prefix,
    )


def test_a_failed_run_is_asked_for_again_while_more_arrives(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.upload("a.png", png(1))
    (request,) = yard.tick()
    assert request.run_config["ops"]["raw_images"]["config"] == {"noticed_only": True}
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        run = dg.DagsterRun(job_name="__ASSET_JOB", tags=request.tags)
        yard.instance.add_run(run.with_status(dg.DagsterRunStatus.STARTED))
        if status is dg.DagsterRunStatus.FAILURE:
            yard.instance.report_run_failed(run)
        else:
            yard.instance.report_run_canceled(run)
        yard.upload(f"{status.value}.png", png(2))
        assert yard.tick() == []
        assert "again in" in yard.skipped_because
    with monkeypatch.context() as patch:
        later = SimpleNamespace(time=lambda: time.time() + 200)
        patch.setattr(asking, "time", later)
        requests = yard.tick()
    assert requests, yard.skipped_because
    (again,) = requests
    assert again.run_key != request.run_key
    assert yard.run(again).success
    assert len(yard.known()) == 3


def test_a_backlog_is_taken_in_turns(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs_arrivals, "MESSAGES_PER_TICK", 20)
    yard.upload("a.png", png(1))
    bucket, prefix = yard.place
    record = {
        "eventSource": "aws:s3",
        "s3": {"bucket": {"name": bucket}, "object": {"key": f"{prefix}/raw/a.png"}},
    }
    entries = [{"Id": str(n), "MessageBody": json.dumps({"Records": [record]})} for n in range(10)]
    for _ in range(15):
        yard.bed.client("sqs").send_message_batch(QueueUrl=yard.queue_url, Entries=entries)
    assert len(yard.tick()) == 1
    assert 0 < yard.waiting() < 151
    while yard.waiting():
        yard.tick()
    assert yard.settle() == 1
    assert yard.known() == {"a.png": "ok"}


# --- found by the listing -------------------------------------------------------------------


def test_what_the_queue_did_not_tell_is_found_when_reconciling(yard: Yard) -> None:
    yard.upload("a.png", png(1))
    yard.upload("b.png", png(2))
    yard.settle()
    yard.upload("c.png", png(3))
    yard.upload("a.png", png(4))
    yard.remove("b.png")
    yard.bed.client("sqs").purge_queue(QueueUrl=yard.queue_url)
    assert yard.settle() == 0
    yard.policy["reconcile_every_s"] = 0.0
    (request,) = yard.tick()
    assert yard.run(request).success
    assert yard.known() == {"a.png": "ok", "b.png": "deleted", "c.png": "ok"}


def test_without_a_queue_the_listing_goes_on_by_windows(
    bare: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival_sweep, "WINDOW", 10)
    bare.policy["list_every_s"] = 0.0
    for number in range(25):
        bare.upload(f"{number:02d}.png", png(number))
    for number in range(3):
        (request,) = bare.tick()
        assert len(pending_notices(bare.store)) == 1
        assert bare.run(request).success
        assert len(bare.known()) == min(25, 10 * (number + 1))
    bare.remove("03.png")
    bare.upload("12.png", png(77))
    bare.upload("99.png", png(78))
    for _ in range(6):
        for request in bare.tick():
            assert bare.run(request).success
    assert bare.known() == {
        **{f"{number:02d}.png": "ok" for number in range(25)},
        "03.png": "deleted",
        "99.png": "ok",
    }
    bare.policy["list_every_s"] = 3600.0
    bare.upload("later.png", png(79))
    while '"done": false' in (bare.cursor or ""):
        bare.tick()
    assert bare.tick() == []
    assert bare.calls("ListObjectsV2", bare.tick) == 1


def test_a_difference_is_noticed_once_while_nobody_reads_it(bare: Yard) -> None:
    bare.policy["list_every_s"] = 0.0
    bare.upload("a.png", png(1))
    for _ in range(3):
        assert len(bare.tick()) == 1
    assert len(pending_notices(bare.store)) == 1


def test_a_queue_that_cannot_be_asked_is_reported_and_the_listing_goes_on(yard: Yard) -> None:
    yard.policy["list_every_s"] = 0.0
    gone = replace(yard, arrivals=queue_of(yard, f"{yard.queue_url}-no-such"))
    gone.upload("a.png", png(1))
    (request,) = gone.tick()
    assert gone.run(request).success
    assert gone.known() == {"a.png": "ok"}
    assert "aws.arrivals_queue_url" in gone.warnings[0]
    gone.tick()
    assert "aws.arrivals_queue_url" in gone.skipped_because


def test_a_look_at_everything_reads_the_notices_too(yard: Yard) -> None:
    """As `imgclf run` does it."""
    yard.upload("a.png", png(1))
    assert yard.tick()
    yard.upload("b.png", png(2))
    assert yard.run().success
    assert yard.known() == {"a.png": "ok", "b.png": "ok"}
    assert pending_notices(yard.store) == []


def test_a_key_that_cannot_be_read_is_named(yard: Yard) -> None:
    yard.upload("x//y.png", png(1))
    yard.upload("a.png", png(2))
    (request,) = yard.tick()
    done = yard.run(request)
    (event,) = done.asset_materializations_for_node("raw_images")
    assert event.metadata["unusable_names"].value == 1
    assert yard.known() == {"a.png": "ok"}


def test_litter_is_not_taken_in_though_a_message_names_it(yard: Yard) -> None:
    for name in ("Thumbs.db", "x/@eaDir/b.png", "a.png"):
        yard.upload(name, png(1))
    (request,) = yard.tick()
    done = yard.run(request)
    (event,) = done.asset_materializations_for_node("raw_images")
    assert event.metadata["passed_over"].value == 2
    assert yard.known() == {"a.png": "ok"}


def test_the_listing_notices_no_litter(bare: Yard) -> None:
    for name in ("Thumbs.db", "x/@eaDir/b.png"):
        bare.upload(name, png(1))
    assert bare.tick() == []


def test_a_cursor_that_is_lost_or_foreign_begins_again(bare: Yard) -> None:
    bare.upload("a.png", png(1))
    for cursor in ("", "no JSON", '{"other": 1}', "[]"):
        bare.cursor = cursor
        assert len(bare.tick()) == 1
    write_notice(bare.store, ["raw/no/such.png"], source="nobody")
    assert bare.settle() == 1
