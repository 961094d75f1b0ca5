"""The asset ``raw_images``: the image table of the store's ``raw/`` folder."""

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from assets import markdown
from assets.ingestion.image_index import (
    RAW,
    ListingDiff,
    diff_listing,
    diff_noticed,
    images_table,
    images_version,
    index_objects,
    newest_rows,
    reject_unusable,
    usable_images,
)
from assets.ingestion.inspections import read_inspections
from assets.line import OWNERS, Line
from assets.records.materializations import record_materialization
from assets.records.raw_images import RawImagesRecord
from assets.retries import retried
from labelling.labels.foreign_text import visible
from labelling.sources.listing import Groups
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore
from resources.arrivals.arrivals import pending_notices, read_notices

REJECTIONS_SHOWN = 50


class RawImagesConfig(dg.Config):
    """How much of ``raw/`` is looked at."""

    noticed_only: bool = Field(
        False,
        description="Read only the objects named by the waiting notices (arrivals/), as the "
        "sensor requests; otherwise list all objects.",
    )


@dg.asset(
    group_name="ingestion",
    kinds={"parquet"},
    owners=OWNERS,
    code_version="1",
    description="The image table: every object under raw/ with its hashes, size and format, or "
    "the reason why it was rejected. Only new objects are read.",
)
@retried
def raw_images(
    context: dg.AssetExecutionContext,
    config: RawImagesConfig,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Bring the image table up to date with ``raw/``.

    Args:
        context: Dagster's context.
        config: whether only noticed objects are read.
        store: the object store.
        line: the settings of the line.

    Returns:
        Counts of the images and the rejections, as metadata.
    """
    store.require()
    table = images_table(store, on_damage=context.log.warning)
    # Before the listing, which then covers them.
    notices, inspections = pending_notices(store), read_inspections(store)
    indexed = table.read()
    noticed_only = config.noticed_only and not table.damaged  # rows are missing: list everything
    noticed = _notified_keys(context, store, notices) if noticed_only else None
    if noticed is not None:
        diff, unusable = diff_noticed(store, noticed, indexed)
    else:
        listing, unusable = store.survey(RAW)
        diff = diff_listing(listing, indexed, again=True)
    context.log.info(f"{diff.new.num_rows} new or changed objects, {len(diff.gone)} gone")
    appended = index_objects(
        store,
        table,
        diff,
        max_pixels=line.ingestion.max_pixels,
        max_bytes=int(line.ingestion.max_file_mb * 1e6),
        inspections=inspections,
        readable=lambda: _some_readable(indexed, diff),
        on_chunk=lambda done, total: context.log.info(f"indexed {done} of {total} new images"),
    )
    store.delete_all(notices)
    known = pa.concat_tables([indexed, appended])
    rows = newest_rows(pa.concat_tables([known, reject_unusable(table, known)]))
    # Of what is not in the table, a look at some objects may just not have seen all yet.
    used = inspections.keys if noticed is None else inspections.settled(rows["key"])
    store.delete_all(used)
    rejected = rows.filter(pc.equal(rows["status"], "rejected"))
    for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist():
        context.log.warning(visible(f"{row['key']} is rejected: {row['reason']}"))
    for name, reason in unusable:
        context.log.warning(visible(f"{name} under raw/ is left out: {reason}"))
    passed = Groups()
    for key, reason in diff.passed.items():
        passed.add(reason, key)
    for group in passed.ignored():
        context.log.info(visible(f"passed over {group.summary()}"))
    usable = usable_images(rows.select(["key", "sha256", "status", "format", "mode"]))
    version = images_version(rows)
    objects = int(pc.sum(pc.not_equal(rows["status"], "deleted")).as_py() or 0)
    found = RawImagesRecord(
        content_version=version,
        table_version=table.version(),
        objects=objects,
        rejected=rejected.num_rows,
    )
    record_materialization(context, store, found)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "content_version": version,
            "images": usable.num_rows,
            "objects": objects,
            "rejected": rejected.num_rows,
            "unusable_names": len(unusable),
            "passed_over": len(diff.passed),
            "looked_at": f"{len(notices)} notices" if noticed is not None else "everything",
            "new": diff.new.num_rows,
            "gone": len(diff.gone),
            "rejections": dg.MetadataValue.md(_rejection_table(rejected)),
            "formats": dg.MetadataValue.md(_format_table(usable)),
            "table": f"tables/{table.name}/",
        },
    )


def _notified_keys(
    context: dg.AssetExecutionContext, store: ObjectStore, notices: list[str]
) -> set[str] | None:
    """Return the keys that the notices name; ``None`` if a notice is damaged: list everything then."""
    try:
        return read_notices(store, notices)
    except DamagedObject as damage:
        context.log.warning(f"{damage.key} is damaged ({damage.flaw}): all of raw/ is listed")
        return None


def _some_readable(indexed: pa.Table, diff: ListingDiff) -> list[str]:
    """Return the keys of up to three images that were read before and have not changed."""
    newest = newest_rows(indexed.select(["key", "status"]))
    touched = pa.concat_arrays([diff.new["key"].combine_chunks(), diff.gone])
    same = pc.invert(pc.is_in(newest["key"], value_set=touched))
    keys = newest["key"].filter(pc.and_(pc.equal(newest["status"], "ok"), same))
    found: list[str] = keys.slice(0, 3).to_pylist()
    return found


def _rejection_table(rejected: pa.Table) -> str:
    if not rejected.num_rows:
        return "none"
    rows = [
        [markdown.code(row["key"]), row["reason"]]
        for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist()
    ]
    if rejected.num_rows > REJECTIONS_SHOWN:
        rows.append([f"… and {rejected.num_rows - REJECTIONS_SHOWN} more", ""])
    return markdown.table(["object", "reason"], rows)


def _format_table(usable: pa.Table) -> str:
    counts = usable.group_by(["format", "mode"]).aggregate([("sha256", "count")])
    rows = sorted(counts.to_pylist(), key=lambda row: -row["sha256_count"])
    return markdown.table(
        ["format", "mode", "images"],
        ([row["format"], row["mode"], row["sha256_count"]] for row in rows),
    )
