"""Checks of the images, of the labels and of the data set."""

import difflib
import json
import shlex
from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import judge_labels, labelled_view, labels_table
from assets.dataset.splits.class_floor import count_classes, floor_reasons
from assets.dataset.splits.fingerprints import fingerprints_of
from assets.dataset.splits.forecast import dealt_again
from assets.dataset.splits.generations import newest_generation
from assets.dataset.splits.given_splits import given_splits
from assets.dataset.splits.leakage import crossing_pairs
from assets.dataset.versions import read_card, read_dataset_manifest
from assets.ingestion.image_index import images_table, usable_images
from assets.line import Line
from assets.records.annotations import AnnotationsRecord
from assets.records.dataset import DatasetRecord
from assets.records.materializations import newest_materialization
from assets.records.raw_images import RawImagesRecord
from imgclf_dagster.checks.result import fails_closed, judge, nothing_to_judge
from labelling.labels.schema import LabelSchema
from labelling.report.words import count
from object_store.store import ObjectStore


@dg.asset_check(asset="raw_images", blocking=True)
@fails_closed
def images_readable(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """Most objects under raw/ are readable images. A few unreadable ones only warn; many show a
    broken source."""
    found = newest_materialization(context.instance, store, RawImagesRecord)
    if found is None:
        return nothing_to_judge("raw_images")
    objects, rejected = found.objects, found.rejected
    share = rejected / objects if objects else 0.0
    bound = line.ingestion.max_unreadable_share
    reason = (
        f"{rejected:,} of {count(objects, 'object')} under raw/ cannot be read as an image"
        if rejected
        else f"{count(objects, 'object')} under raw/: all can be read as images"
    )
    if share > bound:
        reason += (
            f", more than {bound:.0%}: see the rejections of raw_images, remove files that do not "
            "belong there, or raise ingestion.max_unreadable_share"
        )
    return judge(
        store,
        check="images_readable",
        subject=f"raw_images/{found.content_version}",
        passed=rejected == 0,
        severity="ERROR" if share > bound else "WARN",
        reason=reason,
        numbers={"rejected": rejected, "objects": objects},
    )


@dg.asset_check(asset="annotations", blocking=True)
@fails_closed
def labels_known(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """Every label that counts is in the label schema. A few unknown labels only warn; many show a
    wrong schema. Superseded and withdrawn labels are ignored."""
    found = newest_materialization(context.instance, store, AnnotationsRecord)
    if found is None:
        return nothing_to_judge("annotations")
    judged = judge_labels(labels_table(store).read(), line.labels)
    rejected = judged.standing
    judged_count = judged.decisions.labels.num_rows + rejected.num_rows
    share = rejected.num_rows / judged_count if judged_count else 0.0
    return judge(
        store,
        check="labels_known",
        subject=f"annotations/{found.content_version}",
        passed=rejected.num_rows == 0,
        severity="ERROR" if share > line.gates.max_unknown_label_share else "WARN",
        reason=_unknown_labels(rejected, judged_count, judged.counted.schema),
        numbers={"rejected": rejected.num_rows, "labels": judged_count},
    )


def _unknown_labels(rejected: pa.Table, judged_count: int, schema: LabelSchema) -> str:
    """Return a sentence on the unknown labels: how many, which, and the remedies."""
    if not rejected.num_rows:
        return f"0 of the {judged_count:,} labels that count are unknown"
    reasons = sorted(set(rejected["reason"].to_pylist()))
    summary = f"{rejected.num_rows:,} of the {judged_count:,} labels that count cannot be used: "
    summary += "; ".join(reasons[:5]) + ("; …" if len(reasons) > 5 else "")
    words = pc.unique(pc.list_flatten(rejected["labels"])).to_pylist()
    unknown = sorted(word for word in words if schema.names and word not in schema.names)
    if not unknown:
        return summary
    first = shlex.quote(unknown[0])
    near = difflib.get_close_matches(unknown[0], schema.names, n=1, cutoff=0.6)
    meant = shlex.quote(near[0]) if near else "CLASS"
    names = ", ".join(json.dumps(name, ensure_ascii=False) for name in (*schema.names, unknown[0]))
    return (
        f"{summary}. If {unknown[0]!r} is another word for a class: imgclf labels rename {first} "
        f"{meant}; if it is a class: names = [{names}] under [labels] in imgclf.toml; if it is a "
        f"mistake: imgclf labels withdraw --class {first}"
    )


@dg.asset_check(asset="dataset", blocking=True)
@fails_closed
def no_label_conflicts(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """No image of the data set has conflicting labels (such images are left out)."""
    version, manifest = newest_data_set(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    view = labelled_view(store, line.labels)
    left_out = {row["sha256"] for row in view.conflicts}
    shas = manifest["sha256"].to_pylist()
    doubled = len(shas) - len(set(shas))
    inside = [sha for sha in shas if sha in left_out]
    waiting = count(len(left_out), "conflicting image is", "conflicting images are")
    return judge(
        store,
        check="no_label_conflicts",
        subject=f"dataset/{version}",
        passed=not inside and not doubled,
        reason=f"{len(inside)} conflicting and {doubled} doubled images are in the data set; "
        f"{waiting} left out and {'waits' if len(left_out) == 1 else 'wait'} for a person's label",
        numbers={"inside": len(inside), "left_out": len(left_out), "doubled": doubled},
    )


@dg.asset_check(asset="dataset", blocking=True)
@fails_closed
def no_split_leakage(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """No two near-duplicates are in different splits; they are searched independently of their
    groups."""
    version, manifest = newest_data_set(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    images = _with_hashes(store, manifest)
    keys = dict(zip(images["sha256"].to_pylist(), images["key"].to_pylist(), strict=True))

    def fingerprints(wanted: Sequence[str]) -> dict[str, bytes]:
        return fingerprints_of(store, keys, wanted, context.log.info)

    # Images assigned to splits under a smaller distance stay there.
    dealt = newest_generation(store)
    distance = line.split.near_duplicate_distance
    distance = min(distance, dealt.policy.near_duplicate_distance) if dealt else distance
    pairs = crossing_pairs(images, distance, fingerprints) if distance else []
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
@fails_closed
def class_floor_met(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """There are at least two classes, and each has enough images to train and to test."""
    version, manifest = newest_data_set(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    labels = read_card(store, version)["labels"]
    floors = {
        "train": line.gates.min_train_images_per_class,
        "val": 1,
        "test": line.gates.min_test_images_per_class,
    }
    names = labels if line.labels.names else ()
    counts = count_classes(manifest)
    short, helps, kinds = floor_reasons(labels, counts, floors, names)
    if short:  # try in memory which way of assigning splits would help
        again = dealt_again(manifest, given_splits(store), line.split)
        freely = dealt_again(manifest, {}, line.split)
        short, helps, kinds = floor_reasons(
            labels, counts, floors, names, again=again, freely=freely
        )
    if len(labels) < 2:
        short.insert(0, f"only {len(labels)} class ({', '.join(labels)}); a classifier needs two")
        helps = helps or "Label images of another class (imgclf ingest)"
    reason = f"{len(labels)} classes, each above its floor"
    if short:
        reason = f"{'; '.join(short)}. {helps}"
    return judge(
        store,
        check="class_floor_met",
        subject=f"dataset/{version}",
        passed=not short,
        reason=reason,
        numbers={
            "classes": len(labels),
            "counts below their floor": len(short),
            **{name: number for name, number in kinds.items() if number},
        },
    )


def newest_data_set(
    context: dg.AssetCheckExecutionContext, store: ObjectStore
) -> tuple[str, pa.Table | None]:
    """Return the version and the manifest of the newest data set; ("", ``None``) without one."""
    made = newest_materialization(context.instance, store, DatasetRecord)
    if made is None:
        return "", None
    return made.dataset_version, read_dataset_manifest(store, made.dataset_version)


def _with_hashes(store: ObjectStore, manifest: pa.Table) -> pa.Table:
    images = usable_images(images_table(store).read()).select(["sha256", "phash", "key"])
    return manifest.select(["sha256", "split"]).join(images, "sha256", join_type="inner")
