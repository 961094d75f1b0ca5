"""Images that Label Studio cannot show because of their keys."""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from assets.ingestion.image_index import usable_images
from assets.queue.pool import Images
from labelling.label_studio.image_urls import can_show
from labelling.report.words import count

NAMED = 3


def shown_images(
    store_url: str, images: Images, indexed: pa.Table
) -> tuple[Images, dict[str, str]]:
    """Give each image a key that Label Studio can show, if it has a copy under one.

    Args:
        store_url: URL of the store that has them.
        images: as the tables have them.
        indexed: the image table, the last row of each key.

    Returns:
        The images, and sha256 to key of those that cannot be shown.
    """
    hidden = {sha: key for sha, key in images.keys.items() if not can_show(store_url, key)}
    if not hidden:
        return images, hidden
    showable = pa.array([can_show(store_url, key) for key in indexed["key"].to_pylist()])
    copies = usable_images(indexed.filter(showable)).select(["sha256", "key"]).to_pylist()
    found = {row["sha256"]: row["key"] for row in copies if row["sha256"] in hidden}
    left = {sha: key for sha, key in hidden.items() if sha not in found}
    return replace(images, keys=images.keys | found), left


def hidden_problem(hidden: Mapping[str, str]) -> list[str]:
    """Return the warning about images that cannot be shown (sha256 to key): at most one sentence."""
    if not hidden:
        return []
    names = ", ".join(map(repr, sorted(hidden.values())[:NAMED]))
    more = f" and {len(hidden) - NAMED} more" if len(hidden) > NAMED else ""
    return [
        f"no task is made for {count(len(hidden), 'image')}, which Label Studio cannot show from S3 because "
        f"of a question mark, or a space at an end, in the file name: {names}{more}. Ingest again under "
        "another name"
    ]
