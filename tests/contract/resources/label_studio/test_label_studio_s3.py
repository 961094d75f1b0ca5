"""A real Label Studio shows images from S3, and backs annotations up there. S3 is moto."""

from collections.abc import Iterator

import boto3
import pytest

from benchmarks.servers import aws_variables, moto
from imgclf_dagster.label_studio.install import Installation
from labelling.label_studio.image_urls import image_url
from resources.label_studio.types import LabelStudioRefused
from tests.contract.resources.label_studio.label_studio_yard import Yard, make_yard, new_task, sha
from tests.contract.resources.label_studio.test_label_studio_integrations import PNG
from tests.label_studio.server import LabelStudioServer
from tests.patience import wait_for

pytestmark = pytest.mark.contract

BUCKET, KEY = "photos", "lake/raw/50% off + ü &#1.png"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Its URL; the environment has credentials that it takes."""
    with moto() as url, aws_variables(s3=url):
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key=KEY, Body=PNG, ContentType="image/png")
        yield url


@pytest.fixture(scope="module")
def yard(
    s3: str,
    label_studio_installation: Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Yard]:
    """On a server of its own, which has the credentials."""
    server = LabelStudioServer(tmp_path_factory.mktemp("ls-s3"), label_studio_installation)
    try:
        yield make_yard(server.start(), "photos in S3")
    finally:
        server.close()


def test_images_are_shown_and_nothing_is_synced(yard: Yard, s3: str):
    for _ in range(2):
        yard.port.storage.ensure_s3_source(BUCKET, "lake/raw", region="us-east-1", endpoint=s3)
    (storage,) = yard.get("/api/storages/s3", project=str(yard.id))
    assert (storage["status"], storage["last_sync_count"]) == ("initialized", None)
    url = image_url(f"s3://{BUCKET}/lake", KEY.removeprefix("lake/"))
    yard.port.imports.import_missing([new_task(1, image=url, uri=url)])
    task = yard.get(f"/api/tasks/{yard.task_id(1)}/")
    shown = yard.client.get(task["data"]["image"])
    assert (shown.status_code, shown.content) == (200, PNG)
    assert len(yard.tasks()) == 1


def test_what_is_read_back_is_the_uri(yard: Yard):
    """Label Studio replaces URIs by addresses of its own where it shows a task; we want ours."""
    (task,) = yard.port.tasks.changed_since(None, limit=5)
    assert task["data"]["uri"] == task["data"]["image"] == f"s3://{BUCKET}/{KEY}"
    assert [ref.sample_id for ref in yard.port.tasks.list_refs()] == [sha(1)]


def test_saved_annotations_are_backed_up(yard: Yard, s3: str):
    for _ in range(2):
        yard.port.storage.ensure_s3_backup(BUCKET, "backup/", region="us-east-1", endpoint=s3)
    (storage,) = yard.get("/api/storages/export/s3", project=str(yard.id))
    assert storage["can_delete_objects"] is False
    annotation = yard.annotate(yard.task_id(1))
    client = boto3.client("s3")

    def backed_up() -> list[str]:
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix="backup/")
        return [found["Key"] for found in listed.get("Contents", ())]

    assert wait_for(backed_up) == [f"backup/{annotation['id']}"]


def test_a_bucket_that_is_not_there(yard: Yard, s3: str):
    with pytest.raises(LabelStudioRefused, match="no-such-bucket"):
        yard.port.storage.ensure_s3_source("no-such-bucket", "", region="us-east-1", endpoint=s3)
