"""The asset ``labelling_queue``: the images to label next, as tasks in Label Studio."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from assets import markdown
from assets.annotations.annotations import annotations
from assets.annotations.label_index import labels_table, view_of
from assets.dataset.splits.splitting import update_groups, with_lots
from assets.ingestion.image_index import images_table, newest_rows, usable_images
from assets.line import OWNERS, Line, fingerprint
from assets.model.embeddings import MAP_IMAGES
from assets.model.feature_store import read_features
from assets.model.models_in_use import models_in_use
from assets.pictures import optional_picture, picture
from assets.queue.build import Situation, choose_batch
from assets.queue.images import hidden_problem, shown_images
from assets.queue.ledger import QueueBatch, QueuedImage
from assets.queue.pool import (
    Images,
    Opinions,
    find_doubts,
    labels_per_day,
    now_utc,
    queue_length,
    skipped_images,
)
from assets.queue.sync import QueueSync, Synced
from assets.records.embeddings import EmbeddingsRecord
from assets.records.labelling_queue import NOTHING_CHOSEN, ChosenImage, LabellingQueueRecord
from assets.records.materializations import newest_materialization, record_materialization
from assets.retries import retried
from labelling.labels.corrections import CORRECTIONS_PREFIX
from labelling.labels.counted import counted
from labelling.labels.foreign_text import visible
from object_store.store import ObjectStore
from object_store.transfer import get_many
from resources.compute.compute import Compute
from resources.endpoints.endpoint_host import Endpoints
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import LabelStudioDown, LabelStudioError, Project

CHOICES_SHOWN = 20
RETRIES_TAG = "dagster/max_retries"
"""Dagster's own tag; 0 for runs of the command line."""

NOT_CONNECTED = (
    "no Label Studio is connected, so these images would be chosen next: start one "
    "(`imgclf up --label-studio`), or set label_studio.url"
)


@dg.asset(
    group_name="labelling",
    kinds={"labelstudio"},
    owners=OWNERS,
    code_version="1",
    deps=[annotations, "embeddings"],
    pool="labelling_queue",  # two at once would choose the same images
    description="The images that are most worth a person's time, as tasks in Label Studio: first "
    "disputed ones, then those the model is uncertain about, rare or new ones, and some at "
    "random. Each task has its reason. Their number follows the annotators' pace.",
)
@retried
def labelling_queue(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    compute: Compute,
    endpoints: Endpoints,
    label_studio: LabelStudioClient,
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Fill the labelling queue, and show the predictions of the model in use on open tasks.

    Args:
        context: Dagster's context.
        store: the object store.
        compute: where jobs run.
        endpoints: where models are served.
        label_studio: the Label Studio server; it may be not configured.
        line: the settings of the line.

    Returns:
        Counts of the chosen images by reason, as metadata.
    """
    store.require()
    corrections = len(store.list(CORRECTIONS_PREFIX))
    situation = _read_situation(context, store, compute, endpoints, line)
    if not label_studio.configured:
        batch = choose_batch(store, situation, line.labelling, situation.view.schema)
        version = batch.model_version if batch else ""
        done = Synced(batch=batch, shown=version, problems=[NOT_CONNECTED])
    else:
        done = _sync_tasks(context, store, label_studio, line, situation)
    done.problems += hidden_problem(situation.hidden)
    for problem in done.problems:
        context.log.warning(problem)
    record = _record(label_studio, done.situation or situation, done, corrections)
    record_materialization(context, store, record)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint(_version_parts(done), 16)),
        metadata={
            **_numbers(record, done),
            **_batch_metadata(store, situation, done.batch, line.ingestion.max_pixels),
            **_link_metadata(record, done),
        },
    )


def _read_situation(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    compute: Compute,
    endpoints: Endpoints,
    line: Line,
) -> Situation:
    """Read the state of the store; Label Studio's tasks are added later."""
    indexed = newest_rows(images_table(store).read())
    usable = usable_images(indexed)
    groups = update_groups(store, usable, line.split, context.log.info)
    images = Images.of(usable, with_lots(groups, line.split))
    images, hidden = shown_images(store.url, images, indexed)
    rows = labels_table(store).read()
    view = view_of(rows, line.labels)
    doubts = find_doubts(store, view, images, context.log.warning)
    models = models_in_use(context.instance, store, endpoints, compute)
    embedded = newest_materialization(context.instance, store, EmbeddingsRecord)
    now = now_utc()
    pace = labels_per_day(rows, now)
    return Situation(
        images=images,
        view=view,
        opinions=Opinions.of(store, models, embedded.backbone if embedded else ""),
        doubts=doubts,
        pace=pace,
        wanted=queue_length(line.labelling, pace),
        now=now,
        skipped=frozenset(skipped_images(counted(rows, line.labels).rows)),
        hidden={
            sha: key
            for sha, key in hidden.items()
            if sha not in view.labels or sha in doubts.images
        },
    )


def _sync_tasks(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    label_studio: LabelStudioClient,
    line: Line,
    situation: Situation,
) -> Synced:
    sync = QueueSync(store, label_studio, line.labelling, situation.view.schema, context.log.info)
    try:
        return sync.run(situation)
    except LabelStudioError as error:
        awaited = context.run.tags.get(RETRIES_TAG) == "0"  # a person waits: fail at once
        raise dg.Failure(
            f"{error}. The chosen images are kept; the next run continues with them",
            allow_retries=isinstance(error, LabelStudioDown) and not awaited,
        ) from error


def _version_parts(done: Synced) -> list[Any]:
    """Return the data version's parts: they change with what annotators find in Label Studio."""
    batch = done.batch.batch if done.batch else ""
    return [batch, done.shown, done.open, sorted(done.reviews)]


def _record(
    label_studio: LabelStudioClient, situation: Situation, done: Synced, corrections: int
) -> LabellingQueueRecord:
    images = done.batch.images if done.batch else ()
    # Not every chosen image was left to label: an image in doubt may have a label.
    chosen = {image.sha256 for image in images}
    project, made, tasks = state_of(label_studio, done.project) if done.project else (None,) * 3
    return LabellingQueueRecord(
        open=done.open,
        wanted=situation.wanted,
        # Without a Label Studio no task is made of what was chosen, so it is still left.
        left=len(situation.left - chosen if label_studio.configured else situation.left),
        added=done.new,
        withdrawn=done.withdrawn,
        in_doubt=len(situation.doubts.conflicts) + len(situation.doubts.corrections),
        labels_per_day=round(situation.pace, 1),
        corrections=corrections,
        model_version=done.shown,
        batch=done.batch.batch if done.batch else "",
        chosen=len(images),
        first=tuple(
            ChosenImage(key=image.key, why=image.why, score=image.score)
            for image in images[:CHOICES_SHOWN]
        ),
        project=project,
        project_made=made,
        tasks=tasks,
        review_link=done.review_link,
        problems=tuple(done.problems),
        is_connected=label_studio.configured,
    )


# --- metadata ------------------------------------------------------------------------------


def _numbers(record: LabellingQueueRecord, done: Synced) -> dict[str, Any]:
    found: dict[str, Any] = {
        "open": record.open,
        "left to label": record.left,
        "wanted": record.wanted,
        "labels_per_day": record.labels_per_day,
        "added": record.added,
        "withdrawn": record.withdrawn,
        "prelabelled": done.prelabelled,
        "model_version": record.model_version or "none",
        "in doubt": record.in_doubt,
        "to review": len(done.reviews),
        "corrections": record.corrections,
    }
    if done.finished:
        found["batches cut short before"] = ", ".join(done.finished)
    if record.problems:
        found["problems"] = "\n".join(f"- {visible(text)}" for text in record.problems)
    return found


def _link_metadata(record: LabellingQueueRecord, done: Synced) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if record.review_link:
        found["labels in doubt"] = dg.MetadataValue.url(record.review_link)
        found["why in doubt"] = dg.MetadataValue.md(_reviews_table(done.reviews))
    if record.project is not None:
        found["project"] = dg.MetadataValue.url(record.project)
        found["tasks"] = record.tasks
    return found


def state_of(label_studio: LabelStudioClient, project: Project) -> tuple[str, str, int]:
    """Return the project's page, its creation time (ISO 8601) and its number of tasks."""
    return label_studio.project_url(project.id), project.created_at.isoformat(), project.tasks


def _batch_metadata(
    store: ObjectStore, situation: Situation, batch: QueueBatch | None, max_pixels: int
) -> dict[str, Any]:
    if batch is None:
        return {"reasons": NOTHING_CHOSEN}
    found: dict[str, Any] = {
        "batch": batch.batch,
        "reasons": dg.MetadataValue.md(reasons_table(batch.images)),
        "first": dg.MetadataValue.md(choices_table(batch.images)),
    }
    found |= optional_picture("images", lambda: _contact_sheet(store, batch, max_pixels))
    found |= optional_picture("map", lambda: _pool_map(store, situation, batch))
    return found


def reasons_table(images: Sequence[QueuedImage]) -> str:
    """Return the number of chosen images by reason as a Markdown table."""
    counts = Counter(image.reason for image in images).most_common()
    return markdown.table(["reason", "images"], ([name.replace("_", " "), n] for name, n in counts))


def choices_table(images: Sequence[QueuedImage]) -> str:
    """Return the first chosen images and their reasons as a Markdown table."""
    rows = [[markdown.code(one.key), one.why, f"{one.score:.2f}"] for one in images[:CHOICES_SHOWN]]
    if len(images) > CHOICES_SHOWN:
        rows.append([f"… and {len(images) - CHOICES_SHOWN} more", "", ""])
    return markdown.table(["image", "why", "score"], rows)


def _reviews_table(reviews: dict[str, str]) -> str:
    shown = list(reviews.items())[:CHOICES_SHOWN]
    return markdown.table(["image", "why"], ([markdown.code(sha[:12]), why] for sha, why in shown))


def _contact_sheet(
    store: ObjectStore, batch: QueueBatch, max_pixels: int
) -> dg.MetadataValue | None:
    from training.data.contact_sheet import MOST, contact_sheet

    keys = [image.key for image in batch.images[:MOST]]
    sheet, _ = contact_sheet(get_many(store, keys), max_pixels=max_pixels)
    return None if sheet is None else picture(sheet, alt="chosen images", link=batch.key)


def _pool_map(
    store: ObjectStore, situation: Situation, batch: QueueBatch
) -> dg.MetadataValue | None:
    """Draw a 2-D map of the chosen images among the others, by their features."""
    if not batch.backbone:
        return None
    from training.evaluation.pool_map import draw_pool_map

    chosen = [image.sha256 for image in batch.images]
    among = list(dict.fromkeys([*chosen, *situation.images.keys]))[:MAP_IMAGES]
    features = read_features(store, batch.backbone, among)
    known = np.flatnonzero(features.any(axis=1)) if features.size else np.empty(0, int)
    if len(known) < 2:
        return None
    labels = [situation.view.kind(among[row]) for row in known.tolist()]
    title = f"{len(batch.images)} chosen of {len(situation.images.keys):,} images"
    drawn = draw_pool_map(features[known], labels, known < len(chosen), title)
    return picture(drawn, alt="chosen images among all", link=batch.key)
