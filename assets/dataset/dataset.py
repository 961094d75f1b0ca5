"""The asset ``dataset``: labelled images in splits, versioned by content."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets import markdown
from assets.annotations.annotations import annotations
from assets.annotations.label_index import LabelledView, labelled_view
from assets.dataset.assembly import Assembly, assemble, without
from assets.dataset.contact_sheets import write_contact_sheets
from assets.dataset.repair import is_whole, mend_places
from assets.dataset.retraining import Retraining, retraining
from assets.dataset.shards import write_shards
from assets.dataset.splits.generations import generation_number
from assets.dataset.splits.given_splits import given_splits
from assets.dataset.splits.splitting import deal_groups, given_too_late, update_groups
from assets.dataset.versions import dataset_prefix, read_card, record_sources
from assets.dataset.writing import write_dataset
from assets.ingestion.image_index import images_table, images_version, newest_rows, usable_rows
from assets.ingestion.raw_images import raw_images
from assets.line import OWNERS, Line
from assets.pictures import optional_picture, picture
from assets.records.dataset import DatasetRecord
from assets.records.materializations import record_materialization
from assets.retries import retried
from labelling.columns import remembering
from labelling.labels.foreign_text import visible
from labelling.report.words import count
from object_store.store import ObjectStore

SHEETS_SHOWN = 24
_OF_IMAGES = ["key", "sha256", "phash", "width", "height", "status"]
LOST_SHOWN = 50
LATE_SHOWN = 5


@dataclass(frozen=True)
class Gathered:
    """The joined tables, before anything is packed.

    Attributes:
        assembly: the data set.
        view: the labels that count.
        sources: asset name to content version of its table.
        late: images that were dealt before their source gave them another split
            (``given_too_late``).
    """

    assembly: Assembly
    view: LabelledView
    sources: Mapping[str, str]
    late: Mapping[str, tuple[str, str]]


def gather(store: ObjectStore, line: Line, say: Callable[[str], None] = lambda _: None) -> Gathered:
    """Join the tables of images, labels and groups; group and deal new images.

    Args:
        store: has the tables; gets the rows of new groups.
        line: the settings of labels and splits.
        say: called with each message: changed settings, progress, images that cannot be read.
    """
    indexed = newest_rows(images_table(store).read(_OF_IMAGES))
    images = usable_rows(indexed)
    version = images_version(indexed, images)
    del indexed  # free it: a million rows take 100 MB, and more tables follow
    view = labelled_view(store, line.labels)
    with remembering():
        groups = update_groups(store, images, line.split, say)
        groups = deal_groups(store, groups, view, line.split)
        return Gathered(
            assembly=assemble(images, view, groups, view.schema),
            view=view,
            sources={"raw_images": version, "annotations": view.version},
            late=given_too_late(groups, given_splits(store)),
        )


@dg.asset(
    group_name="dataset",
    kinds={"parquet"},
    owners=OWNERS,
    code_version="1",
    deps=[raw_images, annotations],
    description="Labelled, readable images in permanent splits: near-duplicates share a split, "
    "conflicting labels stay out. The version is a hash of what is in it.",
)
@retried
def dataset(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Assemble the data set and write it under ``datasets/<version>/``, unless it is there."""
    found = gather(store, line, context.log.info)
    if found.late:
        context.log.warning(_late_splits_text(found.late))
    assembly, view = found.assembly, found.view
    for reason, shas in assembly.left_out.items():
        context.log.info(f"{count(len(shas), 'image')} left out: {reason}")
    mend_places(store, context.log.warning)
    assembly, lost = _written(context, store, line, assembly)
    record_sources(store, assembly.version, found.sources)
    due = retraining(context.instance, store, assembly.version, view, line.retraining)
    context.log.info(due.sentence)
    made = DatasetRecord(
        dataset_version=assembly.version,
        images=assembly.rows.num_rows,
        classes=len(assembly.labels),
        label_rows=view.rows,
        retraining=due.reason,
        retrain_at=due.due_at,
    )
    record_materialization(context, store, made)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(assembly.version),
        metadata={
            **_metadata(store, assembly),
            **_lost_metadata(lost),
            **_retraining_metadata(due),
            **({"given too late": _late_splits_text(found.late)} if found.late else {}),
        },
    )


def _written(
    context: dg.AssetExecutionContext, store: ObjectStore, line: Line, assembly: Assembly
) -> tuple[Assembly, dict[str, str]]:
    """Write the data set unless it exists.

    Returns:
        The data set as written, and key under ``raw/`` to reason, of the images that were lost.
    """
    _require_rows(assembly)
    if is_whole(store, assembly.version, context.log.warning):
        context.log.info(f"data set {assembly.version} is already there")
        return assembly, {}
    lost: dict[str, str] = {}
    placed = write_shards(store, assembly, progress=context.log.info, lost=lost)
    gone = pc.is_in(assembly.rows["sha256"], value_set=pa.array(list(lost), pa.string()))
    reasons = {
        row["raw_key"]: lost[row["sha256"]]
        for row in assembly.rows.filter(gone).select(["sha256", "raw_key"]).to_pylist()
    }
    for key, reason in list(reasons.items())[:LOST_SHOWN]:
        context.log.warning(visible(f"{key} stays out of the data set: {reason}"))
    if lost:
        assembly = without(assembly, lost)
        _require_rows(assembly, next(iter(reasons.values())))
        if is_whole(store, assembly.version, context.log.warning):
            context.log.info(f"data set {assembly.version} is already there")
            return assembly, reasons
    sheets = write_contact_sheets(
        store, assembly, max_pixels=line.ingestion.max_pixels, warn=context.log.warning
    )
    generation = generation_number(store)
    write_dataset(store, assembly, placed, line.split, sheets, generation=generation)
    return assembly, reasons


def _require_rows(assembly: Assembly, lost: str = "") -> None:
    """Raise a Failure if the data set is empty; ``lost`` is the reason of a lost image."""
    if not assembly.rows.num_rows:
        raise dg.Failure(
            "there is no data set, because no image is both readable and labelled; "
            + (lost or "label some (imgclf ingest SRC with class folders or a CSV)"),
            allow_retries=False,
        )


def _lost_metadata(lost: dict[str, str]) -> dict[str, dg.MetadataValue]:
    if not lost:
        return {}
    shown = list(lost.items())[:LOST_SHOWN]
    rows = ([markdown.code(key), reason] for key, reason in shown)
    return {"images set aside": dg.MetadataValue.md(markdown.table(["image", "reason"], rows))}


def _late_splits_text(late: Mapping[str, tuple[str, str]]) -> str:
    """Describe the images whose given split came after they were dealt."""
    shown = (f"{sha[:12]} (given {given}, in {dealt})" for sha, (given, dealt) in late.items())
    return (
        f"{count(len(late), 'image stays', 'images stay')} in the split of an earlier dealing, as "
        f"the source gave another one only later: {', '.join(islice(shown, LATE_SHOWN))}; "
        "`imgclf splits deal-again` applies the given splits"
    )


def _retraining_metadata(found: Retraining) -> dict[str, dg.MetadataValue]:
    """Return metadata about the next training."""
    shown: dict[str, dg.MetadataValue] = {"retraining": dg.MetadataValue.text(found.reason)}
    if found.due_at is not None:
        shown["retrain_at"] = dg.MetadataValue.timestamp(found.due_at)
    return shown


def _metadata(store: ObjectStore, assembly: Assembly) -> dict[str, dg.MetadataValue | int | str]:
    prefix = dataset_prefix(assembly.version)
    card = read_card(store, assembly.version)
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "dataset_version": assembly.version,
        "images": assembly.rows.num_rows,
        "classes": len(assembly.labels),
        "unlabelled": assembly.unlabelled,
        "conflicts": len(assembly.conflicts),
        "counts": dg.MetadataValue.md(count_table(card["counts"])),
        "left_out": dg.MetadataValue.md(_left_out_table(assembly.left_out)),
        "manifest": f"{prefix}manifest.parquet",
        "card": f"{prefix}card.json",
    }
    if negatives := pc.sum(pc.equal(pc.list_value_length(assembly.rows["labels"]), 0)).as_py():
        metadata["negatives"] = negatives
    for label, key in list(card["contact_sheets"].items())[:SHEETS_SHOWN]:
        metadata |= optional_picture(f"images of {label}", partial(_class_sheet, store, key, label))
    return metadata


def _class_sheet(store: ObjectStore, key: str, label: str) -> dg.MetadataValue:
    return picture(store.get(key), alt=label, link=key)


def count_table(counts: dict[str, dict[str, int]]) -> str:
    """Return the number of images per label and split as a Markdown table."""
    splits = ("train", "val", "test")
    return markdown.table(
        ["label", *splits], ([name, *(n[split] for split in splits)] for name, n in counts.items())
    )


def _left_out_table(left_out: dict[str, list[str]]) -> str:
    if not left_out:
        return "none"
    return markdown.table(
        ["reason", "images", "for example"],
        ([reason, len(shas), markdown.code(shas[0][:12])] for reason, shas in left_out.items()),
    )
