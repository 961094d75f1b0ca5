"""Features of training jobs in the store: kept once, and given to the next job."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.model import training_features
from assets.model.feature_store import read_features, stored_features
from assets.model.training_features import (
    checked_bodies_channel,
    features_channel,
    keep_checked_body,
    keep_training_features,
)
from object_store.store import ObjectStore
from training.artefact.checked_export import CheckedBody, ExportCheck
from training.config import Hyperparameters
from training.embedding.features import FEATURES_SCHEMA, packed_features
from training.embedding.reuse import BACKBONE, TRAINING_FEATURES

pytestmark = pytest.mark.unit

IMAGES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(6)]
FEATURES = np.arange(24, dtype=np.float32).reshape(6, 4)
PROBE = Hyperparameters(recipe="probe", architecture="net0")


class _Context:
    """Dagster's context, as far as warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.log = self

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store with a data set of all images."""
    manifest = pa.table({"sha256": IMAGES})
    monkeypatch.setattr(training_features, "read_dataset_manifest", lambda *_: manifest)
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def _outputs(images: slice, backbone: str = "net0-224-0a") -> dict[str, bytes]:
    rows = pa.table([IMAGES[images], packed_features(FEATURES[images])], schema=FEATURES_SCHEMA)
    file = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata({BACKBONE: backbone}), file)
    return {TRAINING_FEATURES: file.getvalue()}


def test_what_a_job_computed_is_given_to_the_next(store: ObjectStore) -> None:
    context = _Context()
    assert features_channel(context, store, PROBE, "v") == {}
    keep_training_features(context, store, _outputs(slice(0, 4)))
    keep_training_features(context, store, _outputs(slice(2, 5)))
    keep_training_features(context, store, _outputs(slice(0, 4)))  # as a job that is read again
    keep_training_features(context, store, {})

    channel = features_channel(context, store, PROBE, "v")["features"]
    keys = [info.key for info in store.list("embeddings/") if info.key.endswith(".vectors")]
    assert sorted(channel.keys) == sorted(keys)
    assert len(keys) == 2
    found = read_features(store, "net0-224-0a", IMAGES)
    assert found.tolist() == [*FEATURES[:5].tolist(), [0, 0, 0, 0]]
    assert context.warnings == []
    of_tuned = Hyperparameters(recipe="finetune", architecture="net0")
    assert features_channel(context, store, of_tuned, "v") == {}


def test_another_size_is_another_backbone(store: ObjectStore) -> None:
    context = _Context()
    keep_training_features(context, store, _outputs(slice(0, 4), "net0-260-0a"))
    assert features_channel(context, store, PROBE, "v")
    small = PROBE.model_copy(update={"image_size": 224})
    assert features_channel(context, store, small, "v") == {}
    padded = PROBE.model_copy(update={"resize": "pad"})
    assert features_channel(context, store, padded, "v") == {}


def test_damage_is_only_a_warning(store: ObjectStore) -> None:
    context = _Context()
    keep_training_features(context, store, {TRAINING_FEATURES: b"PAR1"})
    assert "not stored" in context.warnings[0]
    keep_training_features(context, store, _outputs(slice(0, 4)))
    key = stored_features(store, "net0-224-0a").keys_of(IMAGES[:1])[0]
    store.delete(key)
    store.put(key, b"torn")

    assert features_channel(context, store, PROBE, "v") == {}
    assert "is damaged" in context.warnings[1]
    keep_training_features(context, store, _outputs(slice(0, 4)))
    assert features_channel(context, store, PROBE, "v")


def test_the_check_of_an_export_is_given_to_the_next_job(store: ObjectStore) -> None:
    context = _Context()
    assert checked_bodies_channel(context, store, PROBE) == {}
    body = CheckedBody(body="b0d4", images=256, difference=1e-6, model_version="train-0")
    made = ExportCheck(difference=1e-6, images=256, body=body)
    borrowed = ExportCheck(difference=0.0, images=16, features=256, body=body)
    unsplit = ExportCheck(difference=0.0, images=256)
    for check in (borrowed, unsplit):
        keep_checked_body(context, store, {"export_check.json": check.model_dump_json().encode()})
    keep_checked_body(context, store, {})
    assert checked_bodies_channel(context, store, PROBE) == {}

    for _ in range(2):  # as a job that is read again
        keep_checked_body(context, store, {"export_check.json": made.model_dump_json().encode()})
    channel = checked_bodies_channel(context, store, PROBE)["checked-bodies"]
    (key,) = channel.keys
    assert key == f"{channel.prefix}b0d4-0256-train-0.json"
    assert CheckedBody.model_validate_json(store.get(key)) == body
    assert checked_bodies_channel(context, store, Hyperparameters(recipe="finetune")) == {}
    assert context.warnings == []

    # A record that is damaged is not in the way of the next job's.
    later = body.model_copy(update={"model_version": "train-1"})
    again = made.model_copy(update={"body": later})
    keep_checked_body(context, store, {"export_check.json": again.model_dump_json().encode()})
    assert len(checked_bodies_channel(context, store, PROBE)["checked-bodies"].keys) == 2

    keep_checked_body(context, store, {"export_check.json": b"{"})
    assert "is not stored" in context.warnings[0]
