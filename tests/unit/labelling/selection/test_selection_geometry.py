"""The space of a pool: what is near there is alike."""

import numpy as np
import pytest

from labelling.selection import geometry
from labelling.selection.geometry import DIMENSIONS, nearest, space

pytestmark = pytest.mark.unit


def test_the_nearest_is_the_nearest() -> None:
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(2, 80, 5)).astype(np.float32)
    distance, position = nearest(points, others)
    apart = np.linalg.norm(points[:, None] - others[None], axis=2)
    assert (position == apart.argmin(1)).all()
    assert distance == pytest.approx(apart.min(1), abs=1e-5)
    far, none = nearest(points, others[:0])
    assert np.isinf(far).all()
    assert (none == -1).all()


def test_the_same_image_lies_at_no_distance_whatever_the_size_of_its_features() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((50, 300)).astype(np.float32)
    found = space(features, features[[7]] * 4)
    assert found.points.shape == (50, 50)
    assert found.to_labelled[7] == pytest.approx(0, abs=1e-3)
    assert np.delete(found.to_labelled, 7).min() > 0.1


def test_few_dimensions_keep_what_separates() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 500)).astype(np.float32) * 2
    kind = np.arange(400) % 4
    features = centres[kind] + rng.normal(size=(400, 500)).astype(np.float32)
    found = space(features, centres)
    assert found.points.shape == (400, DIMENSIONS)
    assert (nearest(found.points, found.labelled)[1] == kind).all()


def test_chunks_and_samples_change_nothing_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 20)).astype(np.float32) * 4
    features = centres[np.arange(300) % 3] + rng.normal(size=(300, 20)).astype(np.float32)
    whole = space(features, features[:9])
    monkeypatch.setattr(geometry, "_CHUNK_FLOATS", 64)
    chunked = space(features, features[:9])
    assert chunked.to_labelled == pytest.approx(whole.to_labelled, abs=1e-4)
    monkeypatch.setattr(geometry, "_SAMPLE", 100)
    sampled = space(features, features[:9])
    assert np.corrcoef(sampled.to_labelled, whole.to_labelled)[0, 1] > 0.95
    assert sampled.clusters.size.sum() == 300


def test_clusters_count_what_is_labelled_and_rank_by_centrality() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], [200, 40])
    features = np.eye(2, 10, dtype=np.float32)[kind] * 5
    features = features + rng.normal(scale=0.3, size=features.shape).astype(np.float32)
    found = space(features, features[:30])
    clusters = found.clusters
    assert clusters.size.sum() == 240
    assert clusters.labelled.sum() == 30
    small = set(clusters.member[200:].tolist())
    assert small.isdisjoint(clusters.member[:200].tolist())
    assert sum(clusters.labelled[list(small)]) == 0
    for cluster in range(len(clusters.size)):
        inside = clusters.centrality[clusters.member == cluster]
        assert inside.max() == 1
        assert inside.min() == pytest.approx(0)


def test_what_is_not_known_has_no_place() -> None:
    features = np.ones((6, 4), np.float32)
    features[1], features[2], features[3] = np.nan, np.inf, 0
    features[5] = [1, 0, 0, 0]
    found = space(features, features)
    assert found.known.tolist() == [True, False, False, False, True, True]
    assert found.labelled.shape[0] == 3
    assert (found.clusters.member[~found.known] == -1).all()
    assert np.isfinite(found.points).all()


@pytest.mark.parametrize("rows", [np.zeros((0, 4), np.float32), np.full((3, 4), np.nan, "f4")])
def test_a_space_of_nothing(rows: np.ndarray) -> None:
    found = space(rows, rows)
    assert len(found.points) == len(rows)
    assert len(found.labelled) == 0
    assert found.clusters.size.sum() == 0
    assert found.radius > 0


def test_the_more_is_labelled_the_nearer_is_near() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 20)).astype(np.float32)
    none, few, many = (space(features, features[:count]).radius for count in (0, 20, 200))
    assert none > few > many > 0
