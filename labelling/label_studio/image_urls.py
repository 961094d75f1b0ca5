"""The URL of an image in a Label Studio task, and which images Label Studio can show."""

from urllib.parse import quote


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
