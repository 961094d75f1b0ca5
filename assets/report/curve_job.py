"""The processing job that measures learning curves."""

import json

from assets.dataset.versions import dataset_prefix, read_card, read_dataset_manifest
from assets.line import fingerprint
from assets.model.feature_store import EMBEDDINGS, embedded_model, stored_features
from assets.model.trained_model import dataset_channel
from assets.queue.ledger import queued_images
from assets.records.trained_model import TrainedModelRecord
from labelling.report.curve_report import CURVE_VERSION
from labelling.selection.reasons.exploration import Exploration
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.job_names import job_name
from resources.compute.job_spec import Channel, JobSpec
from training.config import CODE_VERSION


def why_no_curve(store: ObjectStore, model: TrainedModelRecord) -> str:
    """Return why no learning curve can be measured; empty if it can.

    Args:
        store: object store of the project.
        model: record of the newest ``trained_model``.
    """
    version = model.dataset_version
    if not store.exists(f"{dataset_prefix(version)}card.json"):
        return f"data set {version} is not in the store any more"
    counts = read_card(store, version)["counts"].values()
    empty = [split for split in ("val", "test") if not any(row[split] for row in counts)]
    if empty:
        return f"no labelled image is in the split {' or '.join(empty)}"
    return ""


def curve_job(store: ObjectStore, compute: Compute, model: TrainedModelRecord) -> JobSpec:
    """Describe the job that measures the learning curve of the newest model's data set.

    Its name is a hash of the data, the model and the images that the queue chose, so that nothing
    is measured twice. Writes the list of chosen images as an input of the job.

    Args:
        store: object store of the project.
        compute: knows the key of the trained model.
        model: record of the newest ``trained_model``.
    """
    version, key = model.dataset_version, compute.model_key(model.model_version)
    card = read_card(store, version)
    chosen = _chosen(store, version)
    identity = {
        "dataset": version,
        "model": model.digest,
        "chosen": chosen,
        "curve": CURVE_VERSION,
        "code": CODE_VERSION,
    }
    name = job_name("curve", fingerprint(identity))
    channels = {
        "dataset": dataset_channel(card),
        "model": Channel(prefix=f"{key.rpartition('/')[0]}/", keys=(key,)),
    }
    if chosen:
        inputs = f"models/{name}/inputs/"  # the job's role may read there
        store.create(f"{inputs}chosen.json", json.dumps(chosen).encode())
        channels["chosen"] = Channel(prefix=inputs, keys=(f"{inputs}chosen.json",))
    if parts := _features(store, model.model_version, version):
        channels["features"] = Channel(prefix=EMBEDDINGS, keys=parts)
    return JobSpec(
        name=name,
        kind="processing",
        module="training.learning_curve",
        hyperparameters={"dataset_version": version},
        channels=channels,
    )


def _chosen(store: ObjectStore, version: str) -> list[str]:
    """Return the training images (sha256) that the queue chose by model, not at random; sorted."""
    rows = read_dataset_manifest(store, version).select(["sha256", "split"]).to_pylist()
    train = {row["sha256"] for row in rows if row["split"] == "train"}
    found = queued_images(store, train)
    return sorted(sha for sha, image in found.items() if image.reason != Exploration.name)


def _features(store: ObjectStore, model_version: str, dataset_version: str) -> tuple[str, ...]:
    """Return the keys of the stored features of the data set's images, of the model's backbone."""
    known = embedded_model(store, model_version)
    if known is None:
        return ()
    images = read_dataset_manifest(store, dataset_version)["sha256"].to_pylist()
    return stored_features(store, known.backbone).keys_of(images)
