"""The asset ``embeddings``: every image looked at once, by the models in use; on both profiles."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from assets.model.feature_store import embedded_model, read_features, read_probabilities
from assets.model.models_in_use import models_in_use, read_model_manifest
from object_store.contents.damage import DamagedObject
from tests.graph.done_jobs import MODEL, PICTURES, SPLIT, DoneJobs

pytestmark = pytest.mark.graph

LINE = ("raw_images", "annotations", "dataset", "trained_model")
PROBE = {"recipe": "probe", "architecture": "shufflenet_v2_x0_5", "image_size": 32}


def sha(world: Any, key: str) -> str:
    import hashlib

    return hashlib.sha256(world.store.get(f"raw/{key}")).hexdigest()


def unlabelled(world: Any, photo: Callable[..., bytes], count: int, *, start: int = 900) -> None:
    for number in range(count):
        world.add(f"new/{number + start}.png", photo(number + start, "green"))


@pytest.fixture(scope="module", params=["local", "aws"])
def trained(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_shop: Callable[..., Any],
    photo: Callable[..., bytes],
    done_jobs: DoneJobs,
) -> Any:
    """A home with a small trained model, 72 labelled and 8 other pictures, on each profile."""
    home = tmp_path_factory.mktemp("embeddings") / "home"
    profile = request.getfixturevalue("aws_settings") if request.param == "aws" else {}
    shop = open_shop(home, training=MODEL, split=SPLIT, **profile)
    shop.add_classes(PICTURES)
    with done_jobs.shared(shop.compute):
        outcome = shop.run(*LINE)
    assert "trained_model" in outcome.materialized, outcome.why
    unlabelled(shop, photo, 8)
    assert shop.run("raw_images").success
    shop.version = outcome.metadata("trained_model")["model_version"]
    return shop


def test_the_newest_model_looks_at_every_picture(trained: Any, photo: Callable[..., bytes]) -> None:
    done = trained.run("embeddings")
    assert done.success, done.why
    found = done.metadata("embeddings")
    assert found["looked_at_now"] == found["images"] == 80
    assert "newest" in found["models"]
    assert "(data:image/png" in found["map"]
    model = embedded_model(trained.store, trained.version)
    assert model is not None
    assert model.labels == ("blue", "green", "red")
    pictures = [sha(trained, f"new/{number}.png") for number in range(900, 908)]
    predicted = read_probabilities(trained.store, model, pictures)
    assert predicted.sum(1) == pytest.approx(np.ones(8), abs=1e-3)
    assert (predicted.argmax(1) == model.labels.index("green")).mean() > 0.7
    assert read_features(trained.store, model.backbone, pictures).shape == (8, 96)


def test_what_was_looked_at_is_not_looked_at_again(
    trained: Any, photo: Callable[..., bytes]
) -> None:
    before = trained.run("embeddings")
    again = trained.run("embeddings")
    assert again.metadata("embeddings")["looked_at_now"] == 0
    assert again.metadata("embeddings")["jobs"] == []
    assert again.version("embeddings") == before.version("embeddings")
    unlabelled(trained, photo, 2, start=950)
    trained.run("raw_images")
    more = trained.run("embeddings")
    assert more.metadata("embeddings")["looked_at_now"] == 2
    assert more.version("embeddings") != before.version("embeddings")


def test_its_manifest_is_read_without_unpacking_it(trained: Any) -> None:
    (model,) = models_in_use(trained.instance, trained.store, trained.endpoints, trained.compute)
    manifest = read_model_manifest(trained.store, model.model_key)
    assert manifest.model_version == trained.version
    with pytest.raises(DamagedObject, match="no model artefact"):
        read_model_manifest(trained.store, "raw/new/900.png")


def test_a_kill_between_the_job_and_the_tables_costs_nothing_but_the_job(
    trained: Any, photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlabelled(trained, photo, 3, start=970)
    trained.run("raw_images")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("assets.model.embedding_jobs.append_probabilities", broken)
        assert not trained.run("embeddings").success
    done = trained.run("embeddings")
    assert done.success, done.why
    model = embedded_model(trained.store, trained.version)
    assert model is not None
    pictures = [sha(trained, f"new/{number}.png") for number in range(970, 973)]
    assert np.isfinite(read_probabilities(trained.store, model, pictures)).all()


def broken(*_: Any) -> Any:
    raise ConnectionError("killed here")


@pytest.fixture
def weights(tmp_path: Any) -> Any:
    """Weights of a small net, not trained."""
    import torch
    from torchvision import models

    torch.manual_seed(0)
    folder = tmp_path / "weights"
    folder.mkdir()
    net = models.get_model(PROBE["architecture"], weights=None)
    torch.save(net.state_dict(), folder / f"{PROBE['architecture']}.pth")
    return folder


def test_a_frozen_net_looks_at_a_picture_once_whatever_model_comes(
    empty_world: Callable[..., Any], tmp_path: Any, weights: Any, photo: Callable[..., bytes]
) -> None:
    world = empty_world(tmp_path / "home", training=PROBE, weights_dir=weights, split=SPLIT)
    world.add_classes(14)
    unlabelled(world, photo, 4)
    world.run("raw_images", "annotations")
    cold = world.run("embeddings")
    assert cold.success, cold.why
    assert cold.metadata("embeddings")["looked_at_now"] == 46
    assert "none yet" in cold.metadata("embeddings")["models"]

    trained = world.run(*LINE)
    assert "trained_model" in trained.materialized, trained.why
    warm = world.run("embeddings").metadata("embeddings")
    assert warm["looked_at_now"] == 0
    assert len(warm["jobs"]) == 1
    assert warm["backbone"] == cold.metadata("embeddings")["backbone"]

    world.add_classes(1, start=500)
    made = world.run(*LINE).metadata("trained_model")
    second = made["model_version"]
    newer = world.run("embeddings").metadata("embeddings")
    by_training = made["train_images"] + made["val_images"] - made["features_reused"]
    assert by_training + newer["looked_at_now"] == 3, (
        "each new picture once, by whichever comes first"
    )
    assert second in newer["models"]
    model = embedded_model(world.store, second)
    assert model is not None
    pictures = [sha(world, f"new/{number}.png") for number in range(900, 904)]
    assert np.isfinite(read_probabilities(world.store, model, pictures)).all()


def test_without_weights_it_says_so_and_does_not_fail(
    empty_world: Callable[..., Any], tmp_path: Any, photo: Callable[..., bytes]
) -> None:
    for recipe, text in (
        ({**PROBE, "weights": "none"}, "no pretrained net"),
        ({"recipe": "scratch", "image_size": 16}, "no pretrained net"),
    ):
        world = empty_world(tmp_path / recipe["recipe"], training=recipe)
        unlabelled(world, photo, 3)
        world.run("raw_images", "annotations")
        done = world.run("embeddings")
        assert done.success, done.why
        assert text in done.metadata("embeddings")["note"]
        assert done.metadata("embeddings")["backbone"] == "none"


def test_a_picture_that_was_spoilt_is_named_and_the_rest_goes_on(
    empty_world: Callable[..., Any], tmp_path: Any, weights: Any, photo: Callable[..., bytes]
) -> None:
    world = empty_world(tmp_path / "home", training=PROBE, weights_dir=weights)
    unlabelled(world, photo, 4)
    world.run("raw_images", "annotations")
    world.tamper("raw/new/901.png", b"rewritten after it was indexed")
    done = world.run("embeddings")
    assert done.success, done.why
    assert done.metadata("embeddings")["looked_at_now"] == 3
    assert "new/901.png" in done.metadata("embeddings")["unreadable images"]
