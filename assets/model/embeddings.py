"""The asset ``embeddings``: features of the images of the pool, and the models' probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from assets import markdown
from assets.annotations.label_index import LabelledView, labelled_view
from assets.ingestion.image_index import images_table, newest_rows, usable_images
from assets.ingestion.raw_images import raw_images
from assets.line import OWNERS, Line, fingerprint
from assets.model.embedding_jobs import Embedded, Embedder, run_details
from assets.model.feature_store import (
    EMBEDDINGS,
    PREDICTIONS,
    read_features,
    stored_features,
    stored_probabilities,
)
from assets.model.models_in_use import ModelInUse, models_in_use
from assets.pictures import optional_picture, picture
from assets.records.embeddings import EmbeddingsRecord
from assets.records.materializations import record_materialization
from assets.retries import retried
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.endpoints.endpoint_host import Endpoints
from training.config import Hyperparameters
from training.embedding.features import FEATURES_VERSION

REJECTED_SHOWN = 20
MAP_IMAGES = 2000


def build_embeddings(defaults: Hyperparameters) -> dg.AssetsDefinition:
    """Build the asset ``embeddings``.

    Args:
        defaults: hyperparameters that name the pretrained net used while there is no model.
    """

    @dg.asset(
        group_name="training",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        code_version=FEATURES_VERSION[-1],
        deps=[raw_images, "evaluation_report", "staging_endpoint", "prod_endpoint"],
        pool="embeddings",  # not training's pool, which it would block
        description="Features of the images that may be labelled next, and the predictions of "
        "the models of staging and production for them. Each image goes through a backbone "
        "once; a new head on a frozen net needs no pixels.",
    )
    @retried
    def embeddings(
        context: dg.AssetExecutionContext,
        store: dg.ResourceParam[ObjectStore],
        compute: Compute,
        endpoints: Endpoints,
        line: dg.ResourceParam[Line],
    ) -> dg.MaterializeResult:
        """Compute features and probabilities of the images that may be labelled next.

        Args:
            context: of the run.
            store: with the images and the tables.
            compute: runs the embedding jobs.
            endpoints: name the models in use.
            line: the settings.
        """
        store.require()
        images = usable_images(newest_rows(images_table(store).read()))
        view = labelled_view(store, line.labels)
        policy = line.labelling  # queued images are still without a label, hence + batch_max
        wanted = wanted_images(images, view, policy.pool_limit + policy.batch_max)
        models = models_in_use(context.instance, store, endpoints, compute)
        embedder = Embedder(
            context, store, compute, defaults, line.weights_dir, line.ingestion.max_pixels
        )
        done = embedder.update(models, wanted)
        if done.note:
            context.log.warning(done.note)
        record_materialization(context, store, EmbeddingsRecord(backbone=done.backbone))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(_version(store, done, models)),
            metadata={
                **_metadata(store, done, models, wanted),
                **optional_picture(
                    "map", lambda: _pool_map(store, done.backbone, sorted(wanted), view)
                ),
            },
        )

    return embeddings


def wanted_images(images: pa.Table, view: LabelledView, limit: int) -> dict[str, str]:
    """Choose the images to embed: up to ``limit`` without a label, and up to ``limit`` with one.

    Of more images, those of the lowest sha256: a random sample, and the same one every time.

    Args:
        images: usable images, sorted by sha256.
        view: the labels that count.
        limit: most images of either kind.

    Returns:
        Image (sha256) to key.
    """
    pairs = list(zip(images["sha256"].to_pylist(), images["key"].to_pylist(), strict=True))
    unlabelled = [pair for pair in pairs if pair[0] not in view.labels]
    labelled = [pair for pair in pairs if pair[0] in view.labels]
    return dict([*unlabelled[:limit], *labelled[:limit]])


def _version(store: ObjectStore, done: Embedded, models: Sequence[ModelInUse]) -> str:
    """Return the data version: changes with what is stored, the backbone and the models in use."""
    versions = [
        [
            model.role,
            model.model_version,
            stored_probabilities(store, model.model_version).version(),
        ]
        for model in models
    ]
    features = stored_features(store, done.backbone).version() if done.backbone else ""
    return fingerprint([done.backbone, features, versions], 16)


def _metadata(
    store: ObjectStore, done: Embedded, models: Sequence[ModelInUse], wanted: Mapping[str, str]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "backbone": done.backbone or "none",
        "images": len(wanted),
        "looked_at_now": done.images,
        "unreadable": len(done.rejected),
        "models": dg.MetadataValue.md(_model_table(models)),
        **run_details(done),
    }
    if done.note:
        found["note"] = done.note
    if done.backbone:
        found["features"] = f"{EMBEDDINGS}{done.backbone}/"
    if done.rejected:
        found["unreadable images"] = dg.MetadataValue.md(_rejected_table(done.rejected))
    return found


def _model_table(models: Sequence[ModelInUse]) -> str:
    if not models:
        return "none yet: features come from the pretrained net, and there are no predictions"
    rows = (
        [model.model_version, model.role, markdown.code(f"{PREDICTIONS}{model.model_version}/")]
        for model in models
    )
    return markdown.table(["model", "is", "probabilities"], rows)


def _rejected_table(rejected: Sequence[Mapping[str, str]]) -> str:
    rows = ([markdown.code(item["file"]), item["reason"]] for item in rejected[:REJECTED_SHOWN])
    return markdown.table(["image", "reason"], rows)


def _pool_map(
    store: ObjectStore, backbone: str, images: Sequence[str], view: LabelledView
) -> dg.MetadataValue | None:
    """Draw a 2-D map of the images by their features; ``None`` with fewer than two."""
    if not backbone:
        return None
    shown = images[:MAP_IMAGES]
    features = read_features(store, backbone, shown)
    known = np.flatnonzero(features.any(axis=1)) if features.size else np.empty(0, int)
    if len(known) < 2:
        return None
    from training.evaluation.pool_map import draw_pool_map

    labels = [view.kind(shown[row]) for row in known.tolist()]
    title = f"{len(known):,} images as {backbone} sees them"
    drawn = draw_pool_map(features[known], labels, np.zeros(len(known), bool), title)
    return picture(drawn, alt="map of the pool", link=f"{EMBEDDINGS}{backbone}/")
