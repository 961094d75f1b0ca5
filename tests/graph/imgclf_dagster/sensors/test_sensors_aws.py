"""The sensors on a bucket: what wakes them, and what it costs when nothing does."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from assets.records.annotations import AnnotationsRecord
from imgclf_dagster.sensors import arrival as sensors
from imgclf_dagster.sensors import labels as sensors_labels
from imgclf_dagster.settings.root import Settings
from labelling.labels.snapshots import parse_ingested_key
from serving.deployments import Deployment
from tests.label_studio.played import PlayedLabelStudio
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.graph

RESOURCES = {
    "raw_images_arrival_sensor": ("store", "line", "arrivals"),
    "annotations_change_sensor": ("store", "line", "label_studio"),
    "registry_approval_sensor": ("store", "registry", "endpoints"),
    "endpoint_health_sensor": ("registry", "endpoints"),
}


@pytest.fixture
def bucket(
    tmp_path: Path, open_shop: Callable[..., Any], aws_settings: dict[str, Any], bed: TestBed
) -> Any:
    """A shop whose bucket tells a queue of its objects."""
    name = bed.bucket()
    sqs = bed.client("sqs")
    url = str(sqs.create_queue(QueueName=f"{name}-arrivals")["QueueUrl"])
    names = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
    arn = sqs.get_queue_attributes(**names)["Attributes"]["QueueArn"]
    bed.client("s3").put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
                }
                for prefix in ("line/raw/", "line/annotations/")
            ]
        },
    )
    aws = {**aws_settings["aws"], "bucket": name, "package_group": name}
    aws |= {"arrivals_queue_url": url}
    shop = open_shop(tmp_path / "home", project=name, **{**aws_settings, "aws": aws})
    shop.cursors = {}
    return shop


def look(shop: Any, name: str) -> list[dg.RunRequest]:
    """One tick of a sensor as the daemon has it: its cursor is kept."""
    given = {resource: shop.resource(resource) for resource in RESOURCES[name]}
    given |= getattr(shop, "instead", {})
    with dg.build_sensor_context(
        instance=shop.instance, resources=given, cursor=shop.cursors.get(name)
    ) as context:
        found = getattr(sensors, name)(context)
        shop.cursors[name] = context.cursor
    return list(found.run_requests or []) if isinstance(found, dg.SensorResult) else []


def listings(bed: TestBed, shop: Any, prefix: str) -> int:
    return sum(
        call["request"].get("Bucket") == shop.settings.aws.bucket
        and call["request"].get("Prefix", "").startswith(f"line/{prefix}")
        for call in bed.calls("ListObjectsV2")
    )


def test_new_labels_are_reported_and_looked_for_once(bucket: Any, bed: TestBed) -> None:
    assert look(bucket, "annotations_change_sensor") == []
    key = bucket.label("a" * 64, "red")
    assert parse_ingested_key(key)
    look(bucket, "raw_images_arrival_sensor")  # which empties the queue, for both
    (request,) = look(bucket, "annotations_change_sensor")
    assert [again.run_key for again in look(bucket, "annotations_change_sensor")] == [
        request.run_key
    ]
    assert bucket.run("annotations").success
    assert look(bucket, "annotations_change_sensor") == []
    assert bucket.store.list("label-arrivals/") == []


def test_labels_that_nobody_told_of_are_found_by_listings_ever_more_seldom(
    bucket: Any, bed: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.label("a" * 64, "red")
    (first,) = look(bucket, "annotations_change_sensor")  # never listed: the run does it
    assert bucket.run("annotations").success
    made = [AnnotationsRecord(content_version="1", snapshots=50_000)]
    monkeypatch.setattr(sensors_labels, "newest_materialization", lambda *_, **__: made[0])
    assert look(bucket, "annotations_change_sensor") == []
    before = listings(bed, bucket, "annotations/")
    bucket.label("b" * 64, "red")
    assert look(bucket, "annotations_change_sensor") == []
    assert listings(bed, bucket, "annotations/") == before
    later = partial(float, time.time() + 50 * sensors_labels.LABEL_PAGE_S + 1)
    monkeypatch.setattr(sensors_labels, "time", SimpleNamespace(time=later))
    (found,) = look(bucket, "annotations_change_sensor")
    assert found.run_key != first.run_key

    many = sensors_labels.LABELS_LISTED + 1
    made[0] = AnnotationsRecord(
        content_version="1", snapshots=many
    )  # more than a tick can list: the run does
    bucket.cursors.clear()
    before = listings(bed, bucket, "annotations/")
    assert len(look(bucket, "annotations_change_sensor")) == 1
    assert look(bucket, "annotations_change_sensor") == []
    assert listings(bed, bucket, "annotations/") == before


def test_labels_of_label_studio_are_asked_for_at_once(bucket: Any, bed: TestBed) -> None:
    """Also where nobody tells of them, and between two listings: the sensor wrote them itself."""
    played = PlayedLabelStudio()
    bucket.instead = {"label_studio": played}
    played.add(1, "red", at=1)
    assert len(look(bucket, "annotations_change_sensor")) == 1
    assert bucket.run("annotations").success
    assert look(bucket, "annotations_change_sensor") == []
    played.add(1, "green", at=2)
    played.add(2, "red", at=3)
    (found,) = look(bucket, "annotations_change_sensor")
    assert found.asset_selection == [dg.AssetKey("annotations")]
    done = bucket.run("annotations")
    assert done.metadata("annotations")["new"] == 3  # the first image: taken back, labelled again
    before = listings(bed, bucket, "annotations/")
    assert look(bucket, "annotations_change_sensor") == []
    idle = listings(bed, bucket, "annotations/") - before
    assert look(bucket, "annotations_change_sensor") == []
    assert listings(bed, bucket, "annotations/") - before - idle <= 1  # no look-up by image


def test_what_an_idle_line_costs(bucket: Any, bed: TestBed, photo: Callable[..., bytes]) -> None:
    """The numbers of docs/arrival.md come from here."""
    bucket.add("a.png", photo(1), "red")
    for package in (bucket.candidate("train-1"), bucket.candidate("train-2")):
        bucket.approve(package)
    for stage in ("staging", "prod"):
        bucket.endpoints.deploy(
            Deployment(
                stage=stage,
                model_version=package.model_version,
                digest=package.digest,
                model_key=package.model_key,
                deployed_by="ann",
                reason="",
            )
        )
    for name in RESOURCES:  # what came until now
        look(bucket, name)
    assert bucket.run("raw_images", "annotations").success
    look(bucket, "raw_images_arrival_sensor")
    begun = len(bed.calls())
    for name in RESOURCES:
        requests = look(bucket, name)
        assert all(
            request.asset_selection == [dg.AssetKey("release_approval")] for request in requests
        )
    spent = Counter(call["operation"] for call in bed.calls()[begun:])
    assert spent["ReceiveMessage"] == 1
    assert spent["ListObjectsV2"] <= 10
    assert spent["GetObject"] + spent["HeadObject"] <= 9
    free = {"ListModelPackages", "DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel"}
    assert set(spent) <= {"ReceiveMessage", "ListObjectsV2", "GetObject", "HeadObject", *free}


def test_sensors_look_less_often_where_it_costs(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).sensor_interval_s == 5
    assert Settings(home=tmp_path, profile="aws").sensor_interval_s == 30
    chosen = Settings(home=tmp_path, profile="aws", sensors={"interval_s": 7})
    paced = {sensor.name: sensor for sensor in sensors.sensors(chosen.sensor_interval_s)}
    assert {paced[name].minimum_interval_seconds for name in RESOURCES} == {7}
    assert paced["automation_condition_sensor"].minimum_interval_seconds == 5
    assert {sensor.default_status for sensor in paced.values()} == {dg.DefaultSensorStatus.RUNNING}


def test_a_hint_of_the_webhook_makes_for_a_sooner_look(bucket: Any, tmp_path: Path) -> None:
    hint = tmp_path / "label-studio.hint"
    paced = {sensor.name: sensor for sensor in sensors.sensors(30, hint)}
    hinted = paced["annotations_change_sensor"]
    assert hinted.minimum_interval_seconds == 5
    assert sensors.sensors(30)[-2].minimum_interval_seconds == 30
    played = PlayedLabelStudio()
    resources = {name: bucket.resource(name) for name in RESOURCES["annotations_change_sensor"]}
    cursor = None

    def tick() -> Any:
        nonlocal cursor
        with dg.build_sensor_context(
            instance=bucket.instance,
            resources=resources | {"label_studio": played},
            cursor=cursor,
        ) as context:
            found = hinted(context)
            cursor = context.cursor
        return found

    assert isinstance(tick(), dg.SkipReason)
    played.add(1, "red", at=1)
    assert "looked 0 s ago" in tick().skip_message
    hint.touch()
    assert len(tick().run_requests) == 1
    assert "looked 0 s ago" in tick().skip_message
