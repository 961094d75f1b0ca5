"""What recipe finetune does beside plain training."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.unit.training.fitting.tiny import CLASSES, SIDE, images, tiny_net, training
from training.artefact.artefact import Task
from training.config import Hyperparameters
from training.data.augmentation import augment
from training.data.data import LabelledImages
from training.fitting.architectures import build
from training.fitting.head_start import fit_head, start_head
from training.fitting.layers import (
    batch_norms,
    freeze_first,
    layer_numbers,
    parameter_groups,
    warm_up_and_cosine,
)
from training.fitting.losses import class_weights, loss_of, training_loss
from training.fitting.mixing import mixed
from training.fitting.module import size_at

pytestmark = pytest.mark.unit


def test_the_recipe_decides_what_nobody_set() -> None:
    tuned, small = Hyperparameters(recipe="finetune"), Hyperparameters(recipe="scratch")
    assert tuned.augmentation == "photo"
    assert small.augmentation == "light", "digits must not be flipped"
    assert (small.ema_decay, small.patience, small.frozen_layers) == (0, 0, 0)
    assert small.model_fields_set == {"recipe"}, "what follows the recipe is not set"
    chosen = Hyperparameters(recipe="scratch", epochs=3, augmentation="photo")
    assert (chosen.epochs, chosen.augmentation) == (3, "photo")
    random = Hyperparameters(recipe="finetune", weights="none")
    assert (random.frozen_layers, random.frozen_statistics, random.head_start) == (0, False, False)
    assert Hyperparameters.from_strings(small.to_strings()) == small


def test_frozen_layers_stay_as_they_were_and_the_others_learn(tmp_path: Path) -> None:
    before = tiny_net().state_dict()
    one = training(tmp_path, frozen_layers=0.5, frozen_statistics=False, epochs=1)
    one.run()
    after = one.net.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert changed == {
        "head.weight",
        "head.bias",
        "backbone.3.weight",
        "backbone.3.bias",
        *(f"backbone.4.{name}" for name in trained),
    }


def test_statistics_can_stay_those_of_the_pretraining(tmp_path: Path) -> None:
    one = training(tmp_path, frozen_layers=0.0, epochs=1)
    one.run()
    state = one.net.state_dict()
    assert not state["backbone.1.running_mean"].any()
    assert not torch.equal(state["backbone.1.weight"], torch.ones(4)), "its scale is learnt"


@pytest.mark.parametrize("net", ["tf_efficientnet_lite0", "mobilenet_v2"])
def test_layers_are_numbered_from_the_images_on(net: str) -> None:
    """timm says what its layers are; torchvision's parameters are divided in their order."""
    job = Hyperparameters(recipe="finetune", architecture=net, weights="none", image_size=32)
    classifier = build(job, 2)
    numbers = layer_numbers(classifier.backbone)
    names = [name for name, _ in classifier.backbone.named_parameters()]
    assert set(numbers) == set(names)
    assert numbers[names[0]] == 0
    assert numbers[names[-1]] == max(numbers.values()) >= 11
    freeze_first(classifier, 0.5)
    frozen = [name for name, one in classifier.backbone.named_parameters() if not one.requires_grad]
    assert frozen == names[: len(frozen)], "the first ones"
    assert 0 < len(frozen) < len(names)
    assert (
        0
        < len(batch_norms(classifier, only_frozen=True))
        < len(batch_norms(classifier, only_frozen=False))
    )
    groups = parameter_groups(classifier, rate=1.0, weight_decay=0.1, layer_decay=0.5)
    rate_of = {id(one): group["lr"] for group in groups for one in group["params"]}
    trained = [one for one in classifier.parameters() if one.requires_grad]
    assert len(rate_of) == len(trained)
    assert rate_of[id(classifier.head.weight)] == 1.0
    rates = [rate_of[id(one)] for one in trained]
    assert rates == sorted(rates)
    assert rates[-3] == 0.5
    assert {g["weight_decay"] for g in groups for one in g["params"] if one.ndim < 2} == {0.0}
    assert {g["weight_decay"] for g in groups for one in g["params"] if one.ndim > 1} == {0.1}


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    shares = [warm_up_and_cosine(step, 100, 0.1) for step in range(101)]
    assert shares[:10] == sorted(shares[:10])
    assert shares[10] == 1.0 == max(shares)
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] == pytest.approx(0, abs=1e-9)
    assert warm_up_and_cosine(0, 1, 0.5) > 0


def test_images_grow_to_their_size_in_two_thirds_of_the_epochs() -> None:
    job = Hyperparameters(recipe="finetune", start_size=0.5, epochs=9)
    sizes = [size_at(epoch, job, 224) for epoch in range(9)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[6], sizes[-1]) == (128, 224, 224)
    assert all(size % 32 == 0 for size in sizes)
    assert size_at(0, Hyperparameters(recipe="finetune"), 224) == 224
    assert size_at(0, job, 16) == 16, "never larger than the images"


@pytest.mark.parametrize("level", ["none", "light", "photo"])
def test_augmented_images_have_the_size_that_is_asked_for(level: str) -> None:
    found = augment(torch.full((2, 3, 24, 24), 200.0), level, 16)
    assert found.shape == (2, 3, 16, 16)
    assert found.dtype == torch.float32


def test_photos_are_flipped_and_digits_are_not() -> None:
    half = torch.zeros(32, 3, 16, 16)
    half[..., :8] = 250.0  # bright on the left
    torch.manual_seed(0)
    flipped = {
        level: (augment(half, level)[..., :8].mean((1, 2, 3)) < 100).float().mean()
        for level in ("light", "photo")
    }
    assert flipped["light"] == 0
    assert 0.2 < flipped["photo"] < 0.8


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_mixed_images_have_mixed_targets(task: Task) -> None:
    pictures = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8).clone()
    targets = torch.arange(4) if task == "single_label" else torch.eye(4)
    torch.manual_seed(0)
    for ways in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        found, shares = mixed(pictures, targets, classes=4, **ways)
        values = (shares * torch.arange(4)).sum(1)
        assert found.mean((1, 2, 3)) == pytest.approx(values, abs=1e-5)
        assert shares.sum(1) == pytest.approx(torch.ones(4))
        assert not torch.equal(found, pictures)
        loss = training_loss(torch.zeros(4, 4), shares, task, smoothing=0.1)
        assert loss > 0
    assert mixed(pictures, targets, mixup=0.0, cutmix=0.0, classes=4)[1] is targets


def test_weights_raise_rare_labels() -> None:
    targets = np.array([0] * 8 + [1] * 2)
    found = {kind: class_weights(targets, 2, kind, "single_label") for kind in ("sqrt", "balanced")}
    assert float(found["balanced"][1] / found["balanced"][0]) == pytest.approx(4)
    assert float(found["sqrt"][1] / found["sqrt"][0]) == pytest.approx(2)
    assert float(found["sqrt"][torch.from_numpy(targets)].mean()) == pytest.approx(1)
    assert class_weights(targets, 2, "none", "single_label") is None
    columns = np.array([[1, 0], [0, 0], [0, 0], [0, 1]], np.float32)
    columns[1:3, 1] = 1
    several = class_weights(columns, 2, "balanced", "multi_label")
    assert several.tolist() == pytest.approx([3, 1 / 3])
    even = class_weights(np.arange(6) % 3, 3, "balanced", "single_label")
    assert even.tolist() == pytest.approx([1, 1, 1])
    logits, truth = torch.randn(10, 2), torch.from_numpy(targets)
    assert training_loss(logits, truth, "single_label") == loss_of(logits, truth, "single_label")


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_head_is_fitted_on_features(task: Task) -> None:
    draw = np.random.default_rng(0)
    targets = np.arange(60) % 3
    features = (draw.normal(size=(60, 5)) + 4 * np.eye(5)[targets]).astype(np.float32)
    given = targets if task == "single_label" else np.eye(3, dtype=np.float32)[targets]
    found = fit_head(features, given, 3, task)
    assert (found.logits(features).argmax(1) == targets).mean() > 0.95
    assert (found.weight.shape, found.weight.dtype) == ((3, 5), np.float32)


def test_training_starts_from_the_probes_head_but_not_when_it_is_resumed(tmp_path: Path) -> None:
    starts: list[int] = []
    one = training(tmp_path, epochs=1, learning_rate=1e-6)

    def start() -> None:
        starts.append(1)
        start_head(one.net, images(60), task="single_label", bf16=False)

    found = one.run(start=start).epochs
    assert found[0]["val_accuracy"] == 1, "by its head alone"
    assert one.net.head.out_features == CLASSES
    again = training(tmp_path, epochs=1, learning_rate=1e-6)
    assert again.run(start=start).epochs == found
    assert starts == [1]


def test_of_many_images_the_head_sees_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fitting.head_start.MOST_IMAGES", 12)
    many = images(40)
    rows = pa.table({"raw_key": [str(i) for i in range(40)]})
    read = np.lib.stride_tricks.as_strided(many.images[0], (40, SIDE, SIDE, 3), (0, SIDE * 3, 3, 1))
    start_head(
        tiny_net(), LabelledImages(read, many.targets, rows), task="single_label", bf16=False
    )
    net = tiny_net()
    seen: list[int] = []
    net.backbone.register_forward_hook(lambda *given: seen.append(len(given[-1])))
    start_head(net, many, task="single_label", bf16=False)
    assert sum(seen) == 12
