"""Label Studio's access to images: its storages, and the URL of an image in a task.

The storages are never synchronised: a sync would make tasks of all files that it finds. A storage
only permits Label Studio to show the images of our tasks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from resources.label_studio.projects import project_missing
from resources.label_studio.session import open_sdk
from resources.label_studio.types import LabelStudioDown, LabelStudioRefused

if TYPE_CHECKING:
    from resources.label_studio.project import LabelStudio

SOURCE_TITLE = "imgclf-dagster: images (never sync)"
BACKUP_TITLE = "imgclf-dagster: backup of annotations"


def can_show(store_url: str, key: str) -> bool:
    """Whether Label Studio can show the image at ``key`` of a store; see :func:`image_url`."""
    # resolve_s3_url (io_storages/s3/utils.py) parses the URI, unquoted, as a URL.
    return not store_url.startswith("s3://") or ("?" not in key and key == key.strip())


def image_url(store_url: str, key: str) -> str:
    """Return the URL of an image for a task's ``image`` field.

    Args:
        store_url: ``s3://bucket/prefix``, or ``file://`` of a folder, which must be the server's
            LOCAL_FILES_DOCUMENT_ROOT.
        key: of the image, such as ``raw/lake/1.jpg``.

    Raises:
        ValueError: Label Studio cannot show an object with this key from S3.
    """
    if not store_url.startswith("s3://"):
        return f"/data/local-files/?d={quote(key, safe='/')}"
    if not can_show(store_url, key):
        raise ValueError(
            f"Label Studio cannot show {key!r} from S3: it takes what follows a question mark for "
            "a query, and strips spaces; ingest the image again under another name"
        )
    return f"{store_url.rstrip('/')}/{key}"


def ensure_local_storage(label_studio: "LabelStudio", path: Path) -> None:
    """Permit the project to show the files below ``path`` on the server's machine.

    Raises:
        LabelStudioRefused: ``path`` is not below the server's LOCAL_FILES_DOCUMENT_ROOT, or the
            server does not serve local files.
    """
    session, project = label_studio.session(), label_studio.found_id()
    path.mkdir(parents=True, exist_ok=True)  # the server refuses what is not there yet
    storages = open_sdk(session).import_storage.local
    with project_missing(session, project):
        known = storages.list(project=project)
    if any(storage.path and Path(storage.path) == path for storage in known):
        return
    storages.create(project=project, path=str(path), title=SOURCE_TITLE, use_blob_urls=True)


def ensure_s3_source(
    label_studio: "LabelStudio", bucket: str, prefix: str, *, region: str = "", endpoint: str = ""
) -> None:
    """Permit the project to show ``s3://bucket/prefix/…`` with the server's own credentials.

    Args:
        label_studio: the project.
        bucket: to read from.
        prefix: of the keys; "" for all.
        region: of the bucket; "" for the server's default.
        endpoint: URL of another S3 service; "" for AWS.

    Raises:
        LabelStudioRefused: the server cannot reach the bucket.
    """
    session, project = label_studio.session(), label_studio.found_id()
    storages = open_sdk(session).import_storage.s3
    with project_missing(session, project):
        known = storages.list(project=project)
    wanted = _s3(bucket, prefix, region, endpoint)
    if any(_is_same(storage, wanted) for storage in known):
        return
    # Through Label Studio, not by presigned URLs: these need CORS on the bucket, and an endpoint
    # that the browser reaches.
    with _bucket_named(bucket):
        storages.create(
            project=project, title=SOURCE_TITLE, presign=False, use_blob_urls=True, **wanted
        )


def ensure_s3_backup(
    label_studio: "LabelStudio", bucket: str, prefix: str, *, region: str = "", endpoint: str = ""
) -> None:
    """Have Label Studio also write each saved annotation to ``s3://bucket/prefix/<id>``.

    The copy is a backup for people: the product does not read it, and nothing is deleted there.
    The bucket should have versioning on.

    Args:
        label_studio: the project.
        bucket: to write to.
        prefix: of the keys.
        region: of the bucket; "" for the server's default.
        endpoint: URL of another S3 service; "" for AWS.

    Raises:
        LabelStudioRefused: the server cannot reach the bucket.
    """
    session, project = label_studio.session(), label_studio.found_id()
    storages = open_sdk(session).export_storage.s3
    with project_missing(session, project):
        known = storages.list(project=project)
    wanted = _s3(bucket, prefix, region, endpoint)
    if any(_is_same(storage, wanted) for storage in known):
        return
    with _bucket_named(bucket):
        storages.create(project=project, title=BACKUP_TITLE, can_delete_objects=False, **wanted)


@contextmanager
def _bucket_named(bucket: str) -> Iterator[None]:
    """Add the bucket's name to errors: the server fails with 500 when S3 refuses a request."""
    try:
        yield
    except (LabelStudioDown, LabelStudioRefused) as error:
        if not error.status:
            raise
        raise LabelStudioRefused(
            f"Label Studio cannot use the bucket {bucket!r}: {error}. See that it exists, and that "
            "the server has credentials for it (AWS_ACCESS_KEY_ID and so on, where it runs)",
            error.status,
        ) from None


def _s3(bucket: str, prefix: str, region: str, endpoint: str) -> dict[str, Any]:
    wanted = {"bucket": bucket, "prefix": prefix.strip("/")}
    optional = {"region_name": region, "s3endpoint": endpoint}
    return wanted | {name: value for name, value in optional.items() if value}


def _is_same(storage: Any, wanted: dict[str, Any]) -> bool:
    there = (storage.bucket, (storage.prefix or "").strip("/"), storage.s3endpoint or "")
    return there == (wanted["bucket"], wanted["prefix"], wanted.get("s3endpoint", ""))
