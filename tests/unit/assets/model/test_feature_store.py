"""Features and probabilities that version 884d3c5 stored (``old_home``), read by this one."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from assets.model.feature_store import (
    EmbeddedModel,
    read_features,
    read_probabilities,
    stored_features,
    stored_probabilities,
)
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

OLD_HOME = Path(__file__).with_name("old_home")
BACKBONE, MODEL = "tiny-16-0a", "train-a"
IMAGES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(8)]
FEATURES = (np.arange(24, dtype=np.float32).reshape(6, 4) / 7).astype(np.float16)
PROBABILITIES = np.arange(12, dtype=np.float32).reshape(6, 2) / 11


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    shutil.copytree(OLD_HOME, tmp_path, dirs_exist_ok=True)
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def model(labels: tuple[str, ...] = ("cat", "dog")) -> EmbeddedModel:
    return EmbeddedModel(
        model_version=MODEL, digest="d", backbone=BACKBONE, task="single_label", labels=labels
    )


def test_they_are_read_beside_new_ones_and_stay_as_they_are(store: ObjectStore) -> None:
    before = {info.key: store.get(info.key) for info in store.list("")}
    shuffled = [6, 3, 0, 7, 5, 4]
    images = [IMAGES[number] for number in shuffled]
    for vectors in (stored_features(store, BACKBONE), stored_probabilities(store, MODEL)):
        assert vectors.known(IMAGES).tolist() == [True] * 6 + [False] * 2
        vectors.mend(pytest.fail)
    assert stored_features(store, BACKBONE).append(IMAGES[5:7], np.ones((2, 4))) == 1
    assert stored_probabilities(store, MODEL).append(IMAGES[5:7], np.full((2, 2), 0.5)) == 1

    features = read_features(store, BACKBONE, images)
    assert features.dtype == np.float32
    assert features[0].tolist() == [1] * 4
    assert features[3].tolist() == [0] * 4  # there are none
    assert np.array_equal(features[[1, 2, 4, 5]], FEATURES[[3, 0, 5, 4]])
    predicted = read_probabilities(store, model(), images)
    assert predicted[0].tolist() == [0.5, 0.5]
    assert np.isnan(predicted[3]).all()
    assert np.array_equal(predicted[[1, 2, 4, 5]], PROBABILITIES[[3, 0, 5, 4]])
    assert {key: store.get(key) for key in before} == before


def test_probabilities_of_other_labels_are_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="other labels"):
        read_probabilities(store, model(("cat",)), IMAGES[:2])


def test_a_segment_is_read_as_the_documentation_says(store: ObjectStore) -> None:
    features = np.arange(12, dtype=np.float32).reshape(3, 4)
    stored_features(store, "net").append(IMAGES[:3], features)
    text = (Path(__file__).parents[4] / "docs" / "scale.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    path = store.local_path("embeddings/net/0000000000.vectors")
    named = [line for line in code.splitlines() if line.startswith("path = ")]
    found: dict[str, np.ndarray] = {}
    exec(code.replace(named[0], f"path = {str(path)!r}"), found)
    assert np.array_equal(found["vectors"], features)
