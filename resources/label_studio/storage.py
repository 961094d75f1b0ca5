"""Label Studio's access to image files: the storages of a project.

The storages are never synchronised: a sync would make tasks of all files that it finds. A storage
only permits Label Studio to show the images of our tasks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.label_studio.connection import Connection
from resources.label_studio.types import LabelStudioDown, LabelStudioRefused

SOURCE_TITLE = "imgclf-dagster: images (never sync)"
BACKUP_TITLE = "imgclf-dagster: backup of annotations"


class StorageApi:
    """Requests about the project's storages."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ensure_local(self, path: Path) -> None:
        """Permit the project to show the files below ``path`` on the server's machine.

        Raises:
            LabelStudioRefused: ``path`` is not below the server's LOCAL_FILES_DOCUMENT_ROOT, or the
                server does not serve local files.
        """
        project = self._connection.id
        path.mkdir(parents=True, exist_ok=True)  # the server refuses what is not there yet
        storages = self._connection.sdk.import_storage.local
        with self._connection.project_missing():
            known = storages.list(project=project)
        if any(storage.path and Path(storage.path) == path for storage in known):
            return
        storages.create(project=project, path=str(path), title=SOURCE_TITLE, use_blob_urls=True)

    def ensure_s3_source(
        self, bucket: str, prefix: str, *, region: str = "", endpoint: str = ""
    ) -> None:
        """Permit the project to show ``s3://bucket/prefix/…`` with the server's own credentials.

        Args:
            bucket: to read from.
            prefix: of the keys; "" for all.
            region: of the bucket; "" for the server's default.
            endpoint: URL of another S3 service; "" for AWS.

        Raises:
            LabelStudioRefused: the server cannot reach the bucket.
        """
        # Through Label Studio, not by presigned URLs: these need CORS on the bucket, and an endpoint
        # that the browser reaches.
        self._ensure_s3(
            self._connection.sdk.import_storage.s3,
            _s3(bucket, prefix, region, endpoint),
            {"title": SOURCE_TITLE, "presign": False, "use_blob_urls": True},
        )

    def ensure_s3_backup(
        self, bucket: str, prefix: str, *, region: str = "", endpoint: str = ""
    ) -> None:
        """Have Label Studio also write each saved annotation to ``s3://bucket/prefix/<id>``.

        The copy is a backup for people: the product does not read it, and nothing is deleted there.
        The bucket should have versioning on.

        Args:
            bucket: to write to.
            prefix: of the keys.
            region: of the bucket; "" for the server's default.
            endpoint: URL of another S3 service; "" for AWS.

        Raises:
            LabelStudioRefused: the server cannot reach the bucket.
        """
        self._ensure_s3(
            self._connection.sdk.export_storage.s3,
            _s3(bucket, prefix, region, endpoint),
            {"title": BACKUP_TITLE, "can_delete_objects": False},
        )

    def _ensure_s3(self, storages: Any, place: dict[str, Any], options: dict[str, Any]) -> None:
        """Create a storage of a bucket, unless the project has one at the same place.

        Args:
            storages: the SDK's client of this kind of storage.
            place: the fields that say where it is.
            options: the other fields of a new one.
        """
        project = self._connection.id
        with self._connection.project_missing():
            known = storages.list(project=project)
        if any(_is_same(storage, place) for storage in known):
            return
        with _bucket_named(place["bucket"]):
            storages.create(project=project, **options, **place)


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
