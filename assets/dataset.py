"""The data set: what a model is trained and tested on, versioned by content."""

import json

import dagster as dg

from assets.dataset_build import (
    Assembly,
    assemble,
    dataset_prefix,
    record_sources,
    update_groups,
    write_contact_sheets,
    write_dataset,
    write_shards,
)
from assets.image_index import images_table, images_version, newest_rows, usable_images
from assets.ingestion import raw_images
from assets.label_index import labelled_view
from assets.labelling import annotations
from assets.line import OWNERS, Line
from assets.pictures import picture
from assets.retraining import LABEL_ROWS, Retraining, retraining
from assets.retries import retried
from resources.object_store import ObjectStore

SHEETS_SHOWN = 24


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
    context: dg.AssetExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.MaterializeResult:
    """Assemble the data set and write it under ``datasets/<version>/``, unless it is there."""
    indexed = newest_rows(images_table(store).read())
    images = usable_images(indexed)
    view = labelled_view(store, line.labels)
    groups = update_groups(store, images, line.split)
    assembly = assemble(images, view, groups, line.labels)
    for reason, shas in assembly.left_out.items():
        context.log.info(f"{len(shas)} images left out: {reason}")
    if not assembly.rows:
        raise dg.Failure(
            "no image is both readable and labelled, so there is no data set; label some "
            "(imgclf ingest SRC with class folders or a CSV)",
            allow_retries=False,
        )
    prefix = dataset_prefix(assembly.version)
    if store.exists(f"{prefix}card.json"):
        context.log.info(f"data set {assembly.version} is already there")
    else:
        placed = write_shards(store, assembly, progress=context.log.info)
        write_contact_sheets(store, assembly, max_pixels=line.ingestion.max_pixels)
        write_dataset(store, assembly, placed, line.split)
    sources = {"raw_images": images_version(indexed), "annotations": view.version}
    record_sources(store, assembly.version, sources)
    found = retraining(context.instance, store, assembly.version, view, line.retraining)
    context.log.info(f"retraining: {found.reason}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(assembly.version),
        metadata={
            **_metadata(store, assembly),
            **_retraining_metadata(found),
            LABEL_ROWS: view.rows,
        },
    )


def _retraining_metadata(found: Retraining) -> dict[str, dg.MetadataValue]:
    """What the automation goes by, and a person can read."""
    shown: dict[str, dg.MetadataValue] = {"retraining": dg.MetadataValue.text(found.reason)}
    if found.due_at is not None:
        shown["retrain_at"] = dg.MetadataValue.timestamp(found.due_at)
    return shown


def _metadata(store: ObjectStore, assembly: Assembly) -> dict[str, dg.MetadataValue | int | str]:
    prefix = dataset_prefix(assembly.version)
    card = json.loads(store.get(f"{prefix}card.json"))
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "dataset_version": assembly.version,
        "images": len(assembly.rows),
        "classes": len(assembly.labels),
        "unlabelled": assembly.unlabelled,
        "conflicts": len(assembly.conflicts),
        "counts": dg.MetadataValue.md(count_table(card["counts"])),
        "left_out": dg.MetadataValue.md(_left_out_table(assembly.left_out)),
        "manifest": f"{prefix}manifest.parquet",
        "card": f"{prefix}card.json",
    }
    for label, key in list(card["contact_sheets"].items())[:SHEETS_SHOWN]:
        metadata[f"images of {label}"] = picture(store.get(key), alt=label, link=key)
    return metadata


def count_table(counts: dict[str, dict[str, int]]) -> str:
    """Images per label and split as a Markdown table."""
    lines = ["| label | train | val | test |", "|---|---|---|---|"]
    lines += [f"| {name} | {n['train']} | {n['val']} | {n['test']} |" for name, n in counts.items()]
    return "\n".join(lines)


def _left_out_table(left_out: dict[str, list[str]]) -> str:
    if not left_out:
        return "none"
    lines = ["| reason | images | for example |", "|---|---|---|"]
    lines += [f"| {reason} | {len(shas)} | `{shas[0][:12]}` |" for reason, shas in left_out.items()]
    return "\n".join(lines)
