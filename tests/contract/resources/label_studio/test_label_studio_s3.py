"""A real Label Studio shows images from S3, and backs annotations up there. S3 is moto."""

from collections.abc import Iterator

import boto3
import pytest

from benchmarks.servers import aws_variables, moto
from imgclf_dagster.label_studio.install import Installation
from labelling.label_studio.image_urls import image_url
from resources.label_studio.types import LabelStudioRefused
from tests.contract.resources.label_studio.label_studio_project import (
    StudioProject,
    make_studio,
    new_task,
    sha,
)
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
def studio(
    s3: str,
    label_studio_installation: Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StudioProject]:
    """On a server of its own, which has the credentials."""
    server = LabelStudioServer(tmp_path_factory.mktemp("ls-s3"), label_studio_installation)
    try:
        yield make_studio(server.start(), "photos in S3")
    finally:
        server.close()


def test_images_are_shown_and_nothing_is_synced(studio: StudioProject, s3: str):
    for _ in range(2):
        studio.client.storage.ensure_s3_source(BUCKET, "lake/raw", region="us-east-1", endpoint=s3)
    (storage,) = studio.get("/api/storages/s3", project=str(studio.id))
    assert (storage["status"], storage["last_sync_count"]) == ("initialized", None)
    url = image_url(f"s3://{BUCKET}/lake", KEY.removeprefix("lake/"))
    studio.client.imports.import_missing([new_task(1, image=url, uri=url)])
    task = studio.get(f"/api/tasks/{studio.task_id(1)}/")
    shown = studio.http.get(task["data"]["image"])
    assert (shown.status_code, shown.content) == (200, PNG)
    assert len(studio.tasks()) == 1


def test_what_is_read_back_is_the_uri(studio: StudioProject):
    """Label Studio replaces URIs by addresses of its own where it shows a task; we want ours."""
    (task,) = studio.client.tasks.changed_since(None, limit=5)
    assert task["data"]["uri"] == task["data"]["image"] == f"s3://{BUCKET}/{KEY}"
    assert [ref.sample_id for ref in studio.client.tasks.list_refs()] == [sha(1)]


def test_saved_annotations_are_backed_up(studio: StudioProject, s3: str):
    for _ in range(2):
        studio.client.storage.ensure_s3_backup(BUCKET, "backup/", region="us-east-1", endpoint=s3)
    (storage,) = studio.get("/api/storages/export/s3", project=str(studio.id))
    assert storage["can_delete_objects"] is False
    annotation = studio.annotate(studio.task_id(1))
    client = boto3.client("s3")

    def backed_up() -> list[str]:
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix="backup/")
        return [found["Key"] for found in listed.get("Contents", ())]

    assert wait_for(backed_up) == [f"backup/{annotation['id']}"]


def test_a_bucket_that_is_not_there(studio: StudioProject, s3: str):
    with pytest.raises(LabelStudioRefused, match="no-such-bucket"):
        studio.client.storage.ensure_s3_source(
            "no-such-bucket", "", region="us-east-1", endpoint=s3
        )
