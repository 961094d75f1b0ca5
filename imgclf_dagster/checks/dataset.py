"""Checks of the data: what comes in, what people say about it, what the data set is made of."""

from collections import defaultdict
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.dataset_build import read_card, read_dataset_manifest
from assets.image_index import images_table, usable_images
from assets.label_index import labelled_view, labels_table, usable_labels
from assets.leakage import crossing_pairs
from assets.line import Line, latest_metadata
from imgclf_dagster.checks.result import judge, nothing_to_judge
from resources.object_store import ObjectStore


@dg.asset_check(asset="raw_images", blocking=True)
def images_readable(
    context: dg.AssetCheckExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.AssetCheckResult:
    """Most objects under raw/ are readable images. A few bad ones warn; many mean a broken source."""
    found = latest_metadata(context.instance, "raw_images")
    if not found:
        return nothing_to_judge("raw_images")
    objects, rejected = int(found["objects"]), int(found["rejected"])
    share = rejected / objects if objects else 0.0
    bound = line.ingestion.max_unreadable_share
    reason = f"{rejected} of {objects} objects under raw/ are no readable image"
    if share > bound:
        reason += (
            f", more than {bound:.0%}: see the rejections of raw_images, remove what does not "
            "belong there, or raise ingestion.max_unreadable_share"
        )
    return judge(
        store,
        check="images_readable",
        subject=f"raw_images/{found['content_version']}",
        passed=rejected == 0,
        severity="ERROR" if share > bound else "WARN",
        reason=reason,
        numbers={"rejected": rejected, "objects": objects},
    )


@dg.asset_check(asset="annotations", blocking=True)
def labels_known(
    context: dg.AssetCheckExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.AssetCheckResult:
    """Every label is one of the schema's. A few unknown ones warn; many mean a wrong schema."""
    found = latest_metadata(context.instance, "annotations")
    if not found:
        return nothing_to_judge("annotations")
    rows = labels_table(store).read()
    _, rejected = usable_labels(rows, line.labels)
    share = rejected.num_rows / rows.num_rows if rows.num_rows else 0.0
    bound = line.gates.max_unknown_label_share
    reasons = sorted(set(rejected["reason"].to_pylist()))
    reason = f"{rejected.num_rows} of {rows.num_rows} annotations cannot be used"
    if reasons:
        reason += ": " + "; ".join(reasons[:5])
    return judge(
        store,
        check="labels_known",
        subject=f"annotations/{found['content_version']}",
        passed=rejected.num_rows == 0,
        severity="ERROR" if share > bound else "WARN",
        reason=reason,
        numbers={"rejected": rejected.num_rows, "annotations": rows.num_rows},
    )


@dg.asset_check(asset="dataset", blocking=True)
def no_label_conflicts(
    context: dg.AssetCheckExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.AssetCheckResult:
    """No image of the data set is labelled in two ways at once (such images are left out)."""
    version, manifest = _newest(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    view = labelled_view(store, line.labels)
    left_out = {row["sha256"] for row in view.conflicts}
    shas = manifest["sha256"].to_pylist()
    doubled = len(shas) - len(set(shas))
    inside = [sha for sha in shas if sha in left_out]
    return judge(
        store,
        check="no_label_conflicts",
        subject=f"dataset/{version}",
        passed=not inside and not doubled,
        reason=f"{len(inside)} conflicting and {doubled} doubled images in the data set; "
        f"{len(left_out)} conflicting images are left out and wait for a person's label",
        numbers={"inside": len(inside), "left_out": len(left_out), "doubled": doubled},
    )


@dg.asset_check(asset="dataset", blocking=True)
def no_split_leakage(
    context: dg.AssetCheckExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.AssetCheckResult:
    """No two near-duplicates are in different splits (looked for afresh, not by their groups)."""
    version, manifest = _newest(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    pairs = crossing_pairs(_with_hashes(store, manifest), line.split.near_duplicate_distance)
    example = f", for example {pairs[0][0][:12]} and {pairs[0][1][:12]}" if pairs else ""
    return judge(
        store,
        check="no_split_leakage",
        subject=f"dataset/{version}",
        passed=not pairs,
        reason=f"{len(pairs)} near-duplicate pairs cross a split{example}",
        numbers={"pairs": len(pairs)},
    )


@dg.asset_check(asset="dataset", blocking=True)
def class_floor_met(
    context: dg.AssetCheckExecutionContext, store: ObjectStore, line: dg.ResourceParam[Line]
) -> dg.AssetCheckResult:
    """There are two classes or more, and each has enough images to train and to test on."""
    version, manifest = _newest(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    labels = read_card(store, version)["labels"]
    counts = _counts(manifest)
    floors = {
        "train": line.gates.min_train_images_per_class,
        "val": 1,
        "test": line.gates.min_test_images_per_class,
    }
    short = [
        f"{label}: {counts[label][split]} in {split}, needs {floor}"
        for label in labels
        for split, floor in floors.items()
        if counts[label][split] < floor
    ]
    if len(labels) < 2:
        short.insert(0, f"only {len(labels)} class ({', '.join(labels)}); a classifier needs two")
    reason = f"{len(labels)} classes, each above its floor"
    if short:
        reason = "; ".join(short) + ". Label more images of these classes (imgclf ingest), or take "
        reason += "a class out of names under [labels] in imgclf.toml"
    return judge(
        store,
        check="class_floor_met",
        subject=f"dataset/{version}",
        passed=not short,
        reason=reason,
        numbers={"classes": len(labels), "short": len(short)},
    )


def _newest(
    context: dg.AssetCheckExecutionContext, store: ObjectStore
) -> tuple[str, pa.Table | None]:
    version = latest_metadata(context.instance, "dataset").get("dataset_version")
    if version is None:
        return "", None
    return str(version), read_dataset_manifest(store, str(version))


def _with_hashes(store: ObjectStore, manifest: pa.Table) -> pa.Table:
    images = usable_images(images_table(store).read()).select(["sha256", "phash"])
    return manifest.select(["sha256", "split"]).join(images, "sha256", join_type="inner")


def _counts(manifest: pa.Table) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows: list[dict[str, Any]] = manifest.select(["labels", "split"]).to_pylist()
    for row in rows:
        for label in row["labels"]:
            counts[label][row["split"]] += 1
    return counts
