"""The asset ``raw_images``: the image table of the store's ``raw/`` folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    # Rows of a damaged table are missing: list everything then.
    noticed_only = config.noticed_only and not table.damaged
    changes = _find_changes(context, store, indexed, notices if noticed_only else None)
    diff = changes.diff
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
    used = inspections.keys if changes.notices is None else inspections.settled(rows["key"])
    store.delete_all(used)
    rejected = rows.filter(pc.equal(rows["status"], "rejected"))
    _log_left_out(context, rejected, changes)
    found = RawImagesRecord(
        content_version=images_version(rows),
        table_version=table.version(),
        objects=int(pc.sum(pc.not_equal(rows["status"], "deleted")).as_py() or 0),
        rejected=rejected.num_rows,
    )
    record_materialization(context, store, found)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(found.content_version),
        metadata={
            **_metadata(found, changes, rows, rejected),
            "table": f"tables/{table.name}/",
        },
    )


@dataclass(frozen=True)
class _Changes:
    """What changed under ``raw/`` since the table was written.

    Attributes:
        diff: new, changed and gone objects.
        unusable: names under ``raw/`` that cannot be keys, with reasons.
        notices: number of notices whose objects were looked at; ``None``: all were listed.
    """

    diff: ListingDiff
    unusable: Sequence[tuple[str, str]]
    notices: int | None


def _find_changes(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    indexed: pa.Table,
    notices: list[str] | None,
) -> _Changes:
    """Compare ``raw/`` with the image table.

    Args:
        context: for a warning.
        store: the object store.
        indexed: the image table.
        notices: keys of the notices that name what to look at; ``None`` or a damaged one: list all.
    """
    noticed = None if notices is None else _notified_keys(context, store, notices)
    if notices is not None and noticed is not None:
        diff, unusable = diff_noticed(store, noticed, indexed)
        return _Changes(diff, unusable, len(notices))
    listing, unusable = store.survey(RAW)
    return _Changes(diff_listing(listing, indexed, again=True), unusable, None)


def _log_left_out(context: dg.AssetExecutionContext, rejected: pa.Table, changes: _Changes) -> None:
    """Log which objects are rejected, cannot be used, or are no images."""
    for row in rejected.slice(0, REJECTIONS_SHOWN).to_pylist():
        context.log.warning(visible(f"{row['key']} is rejected: {row['reason']}"))
    for name, reason in changes.unusable:
        context.log.warning(visible(f"{name} under raw/ is left out: {reason}"))
    passed = Groups()
    for key, reason in changes.diff.passed.items():
        passed.add(reason, key)
    for group in passed.ignored():
        context.log.info(visible(f"passed over {group.summary()}"))


def _metadata(
    record: RawImagesRecord, changes: _Changes, rows: pa.Table, rejected: pa.Table
) -> dict[str, Any]:
    usable = usable_images(rows.select(["key", "sha256", "status", "format", "mode"]))
    return {
        "content_version": record.content_version,
        "images": usable.num_rows,
        "objects": record.objects,
        "rejected": record.rejected,
        "unusable_names": len(changes.unusable),
        "passed_over": len(changes.diff.passed),
        "looked_at": "everything" if changes.notices is None else f"{changes.notices} notices",
        "new": changes.diff.new.num_rows,
        "gone": len(changes.diff.gone),
        "rejections": dg.MetadataValue.md(_rejection_table(rejected)),
        "formats": dg.MetadataValue.md(_format_table(usable)),
    }


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
